"""Distribution: xdist's hooks and protocol in the controller: who runs what, who comes and goes.

Calls go down only::

     a worker's events                  xdist's loop, one event after the other
      (execnet's threads)              calls hooks     and a scheduler's methods
             |                              |                     |
        +----------+                  +-----------+     +-------------------+
     1  |  events  |               2  |   hooks   |---->|  scheduler, each  |  3  ----> planning: what to do
        +----------+                  +-----------+     +-------------------+
             |                              |              |             |
      to xdist's queue                      |        +-----------+ +------------+
                                            |     4  |   inbox   | |  dispatch  |  which does it
                                            |        +-----------+ +------------+
                                            |              |             |
                                      +-----------------------------------------+
                                   5  |  parts: workers/ (roster, starts, ...), |
                                      |  capacity, collecting/                  |
                                      +-----------------------------------------+

Three ways lead up again, all through xdist: ``workers.starts`` asks it for one more worker, for which it calls the
hooks at once; ``inbox`` has it call them for a worker that is gone though it has not died; and who notices something in
a thread of its own (a test is overdue, a device fails) puts a notice into its queue, which the scheduler hears when the
present event is over. What workers and controller say to each other, and the life of a question, are in
``values.messages``.
"""

__all__ = ["hooks"]
