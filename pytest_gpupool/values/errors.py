"""Errors that users read: what happened, to whom, and what to do next.

Each carries the exit status that a run ends with. All survive pickling, because workers send them.
"""

from __future__ import annotations

EXIT_INTERNAL = 3  # pytest's INTERNAL_ERROR
EXIT_USAGE = 4
EXIT_REQUIRE = 69  # EX_UNAVAILABLE of sysexits.h
EXIT_NO_LEASE = 75  # EX_TEMPFAIL of sysexits.h


class GpupoolError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_status = 1


class UsageProblem(GpupoolError):
    """An option, a path or the environment is not what it must be."""

    exit_status = EXIT_USAGE


class RequirementNotMet(GpupoolError):
    """The pool holds fewer devices than ``--gpupool-require`` asks for."""

    exit_status = EXIT_REQUIRE


class NoLease(GpupoolError):
    """No device came free within ``--gpupool-wait``, or none ever can."""

    exit_status = EXIT_NO_LEASE


class MetricProblem(GpupoolError):
    """A metric that cannot be recorded as it was given."""


class MarkerProblem(GpupoolError):
    """A ``@pytest.mark.gpupool`` that cannot be understood."""
