"""Planning: which test runs where and when: events in, decisions out. No clock, no files, no pytest."""
