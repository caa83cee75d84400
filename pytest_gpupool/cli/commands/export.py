"""``gpupool export RUN --to FORM``: a run's results for other programs."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from ...exports import exporters
from ...exports.exporters import SUITE, TEST, Order
from ...reports import json
from ..sources import add_dir, report_with_folders

_ABOUT = """\
Writes a run's metrics, parameters, facts and times for other programs, and what its tests have kept:

  csv       a table, a row per metric of a test; on the output where no file is named
  parquet   the same with types (pip install 'pytest-gpupool[parquet]')
  perfetto  the timeline of workers and devices, for https://ui.perfetto.dev
  otel      spans and metrics as OTLP's JSON, as OpenTelemetry's collector reads it
  mlflow    a run of an experiment, with attachments as artefacts (pip install 'pytest-gpupool[mlflow]')
  wandb     an offline run, with attachments as its files (pip install 'pytest-gpupool[wandb]')

Other packages add forms by the entry-point group 'pytest_gpupool.exporters'. The exit status is 4 where a form is not
there, or cannot be written.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "export",
        help="a run's results for other programs",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="RUN", help="a report, or a run on record")
    command.add_argument(
        "--to", metavar="FORM", required=True, help=f"one of {', '.join(exporters.OURS)}, or another's"
    )
    command.add_argument("-o", "--output", metavar="PATH", type=Path, help="the file, or the folder of a tracker")
    text = "mlflow and wandb: one run for the suite (default), or one per test"
    command.add_argument("--per", choices=(SUITE, TEST), default=SUITE, help=text)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    report, folders = report_with_folders(args.name, args.dir)
    with tempfile.TemporaryDirectory(prefix="gpupool-") as folder:
        path = Path(folder) / "report.json"
        if args.to in ("mlflow", "wandb"):  # which keep files
            json.write(path, report)
        files = {path.name: path} if path.exists() else {}
        order = Order(output=args.output, per=args.per, files=files, folders=folders)
        told = exporters.export(args.to, report, order)
    if told:
        print(f"gpupool: {told}")
    return 0
