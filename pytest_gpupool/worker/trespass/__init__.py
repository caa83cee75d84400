"""Trespass: the use of a device that this process has not leased, and who is told of it by name.

A process keeps to its lease by the variables that were exported for it. ``own_devices`` knows whether they are still
what they were, and which devices the process sees once that cannot be changed any more. ``loads`` looks after each
plugin and conftest.py that is loaded, ``hooks`` after each module and each phase of a test, with what ``sampling`` has
seen of this process's children.

- A plugin, conftest.py or module that changes a variable as it is loaded is refused: the run, or that module. What was
  exported is put back for what comes after.
- A test may change one, for a program that it starts or for code that reads it, and has to put it back by the end of
  its tear-down; else it fails, and what was exported is put back.
- A process that sees a device outside its lease is of no more use: the test fails, and no other one runs there.
- A test fails by whose doing a child of this process uses a device outside its lease, as far as sampling sees it.
"""

__all__ = ["hooks", "loads", "own_devices"]
