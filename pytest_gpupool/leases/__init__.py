"""Leases: who may use which device now; no pytest, no vendor.

How a process gets its lease, and who is asked::

    Request ──► acquisition ──► queueing: whose turn it is (tickets, turns), and what wakes it (wakeups)
                    │
                    ├──► quarantines: whether the device is in the host's pool
                    ├──► slots ──► locking: lock files, anchors, notes, in the lock directory
                    ├──► admission: whether what is on the device lets it in, by what the vendor's library says
                    ▼
                  Lease ──► restore (before each test), note, admit, descriptors, release

``occupancy`` says who holds what without touching anything, ``host_view`` puts that together for people. Within a
lease that a process above holds (``inherited``) there is no queue and no file: ``nested``. ``ports`` are given to tests
from ranges that no other process has.
"""

__all__ = ["acquisition", "admission", "host_view", "inherited", "lease", "nested", "occupancy", "ports", "quarantines"]
