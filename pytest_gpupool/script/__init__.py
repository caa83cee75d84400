"""Script: whole scripts as they are: their command lines, processes, output and metrics; no pytest.

In a script, whether a test runs it or nobody does::

    from pytest_gpupool import script
    script.record("accuracy", 0.91, higher_is_better=True)

Which room does what, for the fixture ``run_script``::

    parameters ─▶ command ─▶ running ─▶ process    one program with all that it starts, and its output as it comes
                                │  └──▶ output     what of that is kept
                                └─────▶ measured   its metrics, from a file or from its last line
    sweep_file  scripts and their configurations, as a file lists them (toml_lines: where in it)
    recording   what the script itself calls        notebook   the program that runs a notebook
    ranks       several processes for one script or function, for the fixture ``torchrun``
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..values.verdicts import Kind
    from .result import ScriptError as ScriptError
    from .result import ScriptResult as ScriptResult

__all__ = ["recording", "result", "running", "sweep_file"]


def record(
    name: str,
    value: object,
    *,
    kind: Kind | None = None,
    unit: str = "",
    higher_is_better: bool | None = None,
    n: int | None = None,
    samples: Iterable[object] | Mapping[str, object] | None = None,
    repeats: Iterable[object] | None = None,
    atol: float | None = None,
    rtol: float | None = None,
) -> None:
    """Record a metric of the test that runs this script, as the fixture ``record_metric`` does; without one do nothing.

    What is no metric is an error at once, with and without a test.

    Raises:
        MetricProblem: naming the metric, the argument and the type that it had.
    """
    from .recording import record_metric

    record_metric(
        name,
        value,
        kind=kind,
        unit=unit,
        higher_is_better=higher_is_better,
        n=n,
        samples=samples,
        repeats=repeats,
        atol=atol,
        rtol=rtol,
    )


def record_sample(id: str, **scores: object) -> None:
    """Record the scores of one item: ``record_sample("q17", accuracy=1)``. Each score's name is a metric: their mean.

    Raises:
        MetricProblem: there is no score, or it is no number.
    """
    from .recording import record_item

    record_item(id, scores)


def __getattr__(name: str) -> object:
    """Give the types of what ``run_script`` returns and raises, which need more than a script does."""
    if name in ("ScriptError", "ScriptResult"):
        from . import result

        return getattr(result, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
