"""Folding: a run's records made into its results, one for each test.

``result`` has what is known of a test, and of a worker; ``attempts`` folds what is recorded of tests' attempts, and
``results`` all of a run.
"""

__all__ = [
    "result",
    "results",
]
