"""pytest-gpupool: evaluations as parametrized tests, each worker on a GPU of its own.

Importing this package costs nothing: it loads neither pytest nor torch. A worker does so before pytest is there;
PYTEST_DONT_REWRITE tells pytest that it did not come too late for that.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, whose import takes longer than all else here
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

    from .worker.fixtures import Gpu, Measure, RecordMetric, RunScript, TorchRun

__all__ = ["Gpu", "Measure", "RecordMetric", "RunScript", "TorchRun", "matrix"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Give the types of fixtures, for annotations: only then is pytest loaded."""
    if name in __all__:
        from .worker import fixtures

        return getattr(fixtures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
