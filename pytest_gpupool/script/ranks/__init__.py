"""Ranks: one script or function in several processes that compute together, by ``torch.distributed.run``.

Which room does what, for the fixture ``torchrun``::

    job ─▶ process ─▶ launcher ─▶ rank 0, rank 1, …    the program that starts the ranks, as torchrun does
     │                            └─ function_rank     the program of a rank that calls a function
     ├─▶ calls        a function with its arguments, written for the ranks
     ├─▶ streams      what each rank writes, and which ended first
     └─▶ reduction    one metric of those of all ranks
"""

__all__ = ["job"]
