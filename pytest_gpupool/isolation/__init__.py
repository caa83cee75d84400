"""Isolation: a test in a process of its own, which is forked for it, or fresh where a fork is not safe.

Which room does what, for each attempt at such a test::

    hooks ─▶ attempt ─▶ shared      what outlives the test, and uses no device, is set up here, before
                │  └──▶ safety      whether this process can be forked
                ├─────▶ start       a forked process, or a fresh one, which is a Python of its own:
                ├─────▶ fresh       it begins with program, and finds what it was given (lookup)
                └─────▶ process ◀══ channel ══▶ child   it runs one phase after the other, as it is told to

The other process runs the hooks of a phase and makes its report. This one, whose hooks for that are not called, gives
the report to pytest as if it had made it, so that plugins that repeat tests, count or show them know no difference.
"""

__all__ = ["hooks"]
