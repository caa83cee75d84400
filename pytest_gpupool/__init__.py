"""pytest-gpupool: evaluations as parametrized tests, each worker on a GPU of its own.

Importing this package costs nothing: it loads neither pytest nor torch. A worker does so before pytest is there;
PYTEST_DONT_REWRITE tells pytest that it did not come too late for that.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, whose import takes longer than all else here
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

    from .worker.fixture_types import Gpu, Measure, RecordMetric, RunScript, TorchRun

__all__ = ["Gpu", "Measure", "RecordMetric", "RunScript", "TorchRun", "aggregate", "matrix"]
__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Give the types of fixtures, for annotations: only then is the module loaded that has them."""
    if name in __all__:
        from .worker import fixture_types

        return getattr(fixture_types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def aggregate(
    name: str,
    *,
    of: str,
    by: Iterable[str] = (),
    reduce: str = "mean",
    kind: str | None = None,
    higher_is_better: bool | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    floor: float | None = None,
    ceiling: float | None = None,
) -> pytest.MarkDecorator:
    """Judge a metric over many tests: ``@aggregate("accuracy", of="correct", by=("model",), floor=0.6)``.

    It decorates a test function or a class, or is a module's ``pytestmark``. Of what these tests record under ``of``
    there is one value for each group of tests that have the same ``by`` parameters: their ``reduce``, which is
    ``mean``, ``median``, ``min``, ``max``, ``sum``, ``geometric_mean``, or ``worst_group``: the mean of the group in
    which that is the worst, one value for all. A test counts once, however often it is repeated.

    It is judged when the run is over, as metrics are, with its tests as items. ``kind``, ``higher_is_better``, ``atol``
    and ``rtol`` are as in ``record_metric``; the first two are those of the tests' metrics where they are left out. It
    is regressed below ``floor`` and above ``ceiling``, also without a baseline. A group of which a test has no value
    is not judged, which the reports say.

    Raises:
        UsageProblem: an argument makes no sense.
    """
    __tracebackhide__ = True
    from .values.errors import UsageProblem
    from .worker.items.aggregates import marked

    given: dict[str, object] = {"by": by, "reduce": reduce, "kind": kind, "higher_is_better": higher_is_better}
    given |= {"atol": atol, "rtol": rtol, "floor": floor, "ceiling": ceiling}
    try:
        return marked(name, of=of, **given)
    except UsageProblem as problem:
        raise problem.with_traceback(None) from None


def matrix(
    *,
    exclude: Iterable[Mapping[str, object]] = (),
    sample: int | None = None,
    seed: int = 0,
    **axes: Iterable[object],
) -> pytest.MarkDecorator:
    """Parametrize a test with the product of its axes: ``@matrix(lr=[0.1, 0.01], batch_size=[32, 64])``.

    An axis is named as the test's argument; its values may be ``pytest.param``, whose marks go to every test that has
    the value, and whose id names it. Tests are in the order of the axes, the last of which varies fastest. Their ids
    are like ``lr=0.1-batch_size=32``, and the same for every ``sample``.

    Each dict of ``exclude`` leaves out the combinations that have all of its values. ``sample`` keeps so many of the
    others, all where there are no more, and the same ones for the same ``seed``, on every machine; a larger sample has
    all of a smaller one. No axis can be called ``exclude``, ``sample`` or ``seed``: for such a one stack a
    ``pytest.mark.parametrize``.

    Raises:
        UsageProblem: an argument makes no sense, or no test is left.
    """
    __tracebackhide__ = True  # pytest shows where it was called, and the message
    from .matrices.parametrize import parametrized
    from .values.errors import UsageProblem

    try:
        return parametrized(axes, exclude=exclude, sample=sample, seed=seed)
    except UsageProblem as problem:
        raise problem.with_traceback(None) from None
