"""Exporters by name: ours, and those of other packages by the entry-point group ``pytest_gpupool.exporters``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..values.errors import GpupoolError, UsageProblem
from ..values.texts import safe_repr

GROUP = "pytest_gpupool.exporters"

SUITE, TEST = "suite", "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: where to, None for the exporter's own place; one run per ``suite`` or per ``test``.

    ``files`` are artefacts to go along, by name; what tests have kept lies in one of the ``folders``.
    """

    output: Path | None
    per: str
    files: Mapping[str, Path]
    folders: Sequence[Path] = ()


Exporter = Callable[[Mapping[str, Any], Order], str]
"""Takes a JSON report; returns what people are told, nothing where it has printed all."""

OURS = ("csv", "parquet", "mlflow", "wandb", "perfetto", "otel")

_EXTRAS = {"parquet": "pyarrow", "mlflow": "mlflow", "wandb": "wandb"}


def names() -> list[str]:
    """Return what there is, ours first."""
    return [*OURS, *sorted({point.name for point in metadata.entry_points(group=GROUP)} - {*OURS})]


def export(name: str, report: Mapping[str, Any], order: Order) -> str:
    """Export a report; return what people are told.

    Raises:
        UsageProblem: there is no such exporter, what it needs is not installed, or it cannot write.
        GpupoolError: another package's exporter failed.
    """
    try:
        return _named(name)(report, order)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if name not in _EXTRAS or not missing:
            raise
        what = f"'pytest-gpupool[{name}]'" if missing == _EXTRAS[name] else missing
        raise UsageProblem(f"--to {name} needs {missing}, which is not installed: pip install {what}") from None
    except OSError as error:
        raise UsageProblem(f"--to {name}: {error.filename or order.output}: {error.strerror or error}") from None


def _named(name: str) -> Exporter:
    if name in OURS:
        exporter: Exporter = importlib.import_module(f".to_{name}", __package__).export
        return exporter
    found = [point for point in metadata.entry_points(group=GROUP) if point.name == name]
    if not found:
        raise UsageProblem(f"--to {name}: there is no such exporter; there are {', '.join(names())}")
    return _guarded(name, found[0])


def _guarded(name: str, point: metadata.EntryPoint) -> Exporter:
    """Return another package's exporter, whose failure is told as its own."""

    def exporter(report: Mapping[str, Any], order: Order) -> str:
        try:
            return str(point.load()(report, order) or "")
        except GpupoolError:
            raise
        except Exception as error:
            raise GpupoolError(f"the exporter {name} ({point.value}) failed: {safe_repr(error)}") from error

    return exporter
