"""Run: one run as the user's own process sees it, from its first line to its exit status.

``start`` makes the parts of a run, each in a room of its own, and the ``controller`` that holds them together:

    console    what the user is told meanwhile        devices    the pool, and what has left it
    records    directory, journal, results            history    what earlier runs measured
    baseline   what metrics are judged by             orders     what a worker is told at its start
    resume     the earlier run that is gone on with   ending     exit status, reports, the facts for them

Without workers, ``single_process`` also does what a worker does.
"""

__all__ = ["controller", "environment", "start"]
