"""Shards: which part of the tests each of several machines runs, and how their records become those of one run.

What a machine does, and what is done when all are through::

    place        which shard this is: I/N, or the CI system's variables
    frozen       what is known of durations, which nothing of the run changes
      │
      ▼
    part         the tests of a shard, by `pieces` (what stays together, and what it takes) and the `cut`
      │
      ▼
    a record of the run: all tests, and a fingerprint of what the cut was made from
      │          packing: the run's directory as one file, and back
      ▼
    agreement (are they parts of one run?) ─▶ merging (their records as one)
"""

__all__ = ["agreement", "frozen", "merging", "packing", "part", "place"]
