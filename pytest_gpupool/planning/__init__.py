"""Planning: which test runs where and when: events in, decisions out; no clock, no files, no pytest.

Which room does what::

    demands ─▶ tests           what is known of each test: its marker, its place, earlier runs; which stay together
                 │
              problem          what a run is planned from ─▶ outlook (what it will be like)
                 │
    events ─▶ planner ─▶ decisions
                 │ tells
                 ├─▶ progress    which tests are over, and when the next stage begins
                 ├─▶ backlog     which tests wait, in order       ◀── families (what is set up), loads (counted)
                 ├─▶ workers     which workers there are, what each has, who of them is idle
                 ├─▶ staffing    which workers there should be     ◀── sizes (how many of each size)
                 └─▶ dispatch    who is given which test: next, ahead of time, stolen, again, alone; by nobody

The life of a test::

                  ┌────────── stolen, or its worker lost ──────────┐
                  ▼                                                │
    (stage) ─▶ waits ─▶ reserved for a worker ─▶ assigned to it ───┴▶ running ─▶ over
                  ▲     (the rest of its unit)                          │
                  │                                           its worker crashed
                  │                                                     ▼
                  └──────────────── runs again ◀──────────────────  undecided ─▶ given up, which is over
"""

__all__ = ["decisions", "demands", "planner", "problem", "tests", "workers"]
