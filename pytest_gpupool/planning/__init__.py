"""Planning: which test runs where and when: events in, decisions out; no clock, no files, no pytest."""

__all__ = ["decisions", "demands", "planner", "tests"]
