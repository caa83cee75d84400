"""Tables of means: a metric over two parameters, as values that every output form shows in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .labels import Label

Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The mean of so many results, in the metric's unit.

    ``sd`` is their standard deviation (n - 1); of one that was measured several times that between its repeats; None
    where neither is known.
    """

    mean: Number
    count: int
    unit: str
    sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A metric over two parameters. A cell is None where there is no result.

    ``rows`` and ``cols`` are the parameters, None for none; ``names_tests`` says whether rows are told apart by their
    tests; ``over`` has the other parameters that the means are over, with how many values of each a cell has at most.
    """

    metric: str
    rows: str | None
    cols: str | None
    row_labels: Sequence[Label]
    col_labels: Sequence[Label]
    cells: Sequence[Sequence[Cell | None]]
    names_tests: bool = False
    over: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def unit(self) -> str | None:
        """The unit of all cells, None where they differ."""
        units = {cell.unit for cell in self._filled()}
        return next(iter(units), "") if len(units) <= 1 else None

    @property
    def counts(self) -> tuple[int, int]:
        """Of how many results a mean is, at least and at most; 0 where there is none."""
        counts = [cell.count for cell in self._filled()]
        return min(counts, default=0), max(counts, default=0)

    @property
    def caption(self) -> str:
        """What the table shows: ``loss in nats by lr and width: means over 3 results each (seed: 3 values)``."""
        unit = f" in {self.unit}" if self.unit else ""
        axes = " and ".join(name for name in (self.rows, self.cols) if name is not None)
        return f"{self.metric}{unit} by {axes or 'test'}: {self._means()}"

    def _means(self) -> str:
        least, most = self.counts
        if most <= 1:
            return "one result each" if most else "no result"
        others = ", ".join(f"{name}: {number} values" for name, number in self.over.items())
        count = f"{most} results each" if least == most else f"{least} to {most} results"
        return f"means over {count}" + (f" ({others})" if others else "")

    def _filled(self) -> list[Cell]:
        return [cell for row in self.cells for cell in row if cell is not None]
