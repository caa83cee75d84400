"""Workers: the worker processes of a run as the controller knows them, from their orders to their ends.

What some of them could not do, for want of memory or by a device, others try again: see ``retries``.
"""

__all__ = [
    "ends",
    "engine_process",
    "lease_waits",
    "member",
    "placements",
    "process_ends",
    "retries",
    "roster",
    "starts",
    "time_limits",
]
