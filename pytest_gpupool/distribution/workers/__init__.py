"""Workers: the worker processes of a run as the controller knows them, from their orders to their ends."""

__all__ = ["ends", "lease_waits", "member", "process_ends", "roster", "starts", "time_limits"]
