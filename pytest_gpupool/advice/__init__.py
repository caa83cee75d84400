"""Advice: what a run held, kept or allowed for nothing, by its own records; nothing here acts.

An item of advice is told only where it would save more than 5 % of something, by a formula that stands at the head of
the room that gives it, and at least five device-seconds. A run shorter than ten seconds gets none, nor does one on CPU
slots, which cost nothing to hold. What was not measured is not guessed: without samples nothing is said of memory or
slots, and results that were kept from an earlier run count nowhere.

Which room does what::

    records ─▶ leases     who held which devices from when to when, and how long what there is was held
                 ├─▶ idle       held, or kept free, and no test ran
                 ├─▶ memory     declared and not used
                 ├─▶ slots      room beside the tests
                 └─▶ limits     timeouts that come far too late
                        └─▶ items    what all of these give
"""

__all__ = ["advise", "items"]
