"""pytest-gpupool: evaluations as parametrized tests, each worker on a GPU of its own.

Importing this package costs nothing: it loads neither pytest nor torch. A worker does so before pytest is there;
PYTEST_DONT_REWRITE tells pytest that it did not come too late for that.
"""

__version__ = "0.1.0"
