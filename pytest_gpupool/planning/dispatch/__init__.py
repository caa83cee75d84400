"""Dispatch: which worker is given which test: next, queued ahead, stolen from another, again, or alone.

The dispatcher goes through the workers that wait. For each, `selection` takes the next test: the rest of its work unit,
one of the `reruns`, a `serial` one, or the best of the queue. `ahead` adds short ones, by the `pace` of their function.
Where there is nothing to take, `stealing` requests what another worker has ahead; else the worker rests or is let go.
What would end too late is given up (`budget`). `idle_times` knows for how long workers rested without a test.
"""

__all__ = ["budget", "differences", "dispatcher", "idle_times", "orphans", "pace", "reruns", "serial", "stealing"]
