"""Recording: what happens to each attempt at a test is written down, as pytest's hooks tell of it.

``recorder`` hears the hooks and holds the present ``attempt``: its reports (``phases``), and its metrics with their
verdicts (``judged_metrics``), which may fail the test (``verdict_failure``). All is written by the ``writer``,
to the worker's journal first, then with pytest's next report to the controller. What tests share is timed by
``set_ups``. What failed for want of memory, or by a device, is left to other workers (``retries``).
"""

__all__ = [
    "junit_properties",
    "present",
    "recipes",
    "recorder",
    "refusal",
    "retries",
    "started_processes",
    "verdict_failure",
    "writer",
]
