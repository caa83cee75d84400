"""Run: one run as the user's own process sees it, from its first line to its exit status.

``start`` makes the parts of a run, each in a room of its own, and the ``controller`` that holds them together:

    console    what the user is told meanwhile        devices    the pool, and what has left it
    records    directory, journal, results            orders     what a worker is told at its start
    baseline   what metrics are judged by             ending     exit status, reports, the facts for them
    earlier    what is taken from earlier runs: the one that is gone on with, what they measured

Without workers, ``single_process`` also does what a worker does. ``planned`` is a run that is only planned.
"""

__all__ = ["controller", "environment", "start"]
