"""MLflow: a run of an experiment, or one per test below it; files go along as artefacts, and what tests have kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from .exporters import TEST, Order
from .tracking.kept import Kept
from .tracking.tracked import TrackedRun, about, runs

_EXPERIMENT = "pytest-gpupool"
_LONGEST = 5000  # characters of a tag, and of a parameter from 2.8 on
_METRICS = 1000  # of one request, tags and parameters included


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it into the folder that is named, else where ``MLFLOW_TRACKING_URI`` says, else into ``mlruns``."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.tracking import MlflowClient

    place = _place(order.output)
    if place.startswith("file:"):  # which MLflow 3 has by this word alone
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    found, kept = list(runs(report, order.per)), Kept(order.folders)
    if order.per == TEST:
        found.insert(0, TrackedRun(name=report["run"]["id"], params={}, tags=about(report), metrics={}, files={}))
    try:
        client = MlflowClient(tracking_uri=place)
        known = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if known is None else known.experiment_id
        first = ""
        for one in found:
            id_ = _add(client, experiment, one, {"mlflow.parentRunId": first} if first else {})
            files = {**({} if first else order.files), **dict(kept.found(one.files))}
            for called, path in files.items():
                _put(client, id_, called, path)
            first = first or id_
    except mlflow.exceptions.MlflowException as error:
        raise OSError(None, str(error), str(place)) from None
    count = len(found) - 1
    below = f", with {count} run{'' if count == 1 else 's'} below it" if count else ""
    return f"{place}: run {first} of experiment {name}{below}{kept.told}"


def _place(output: Path | None) -> str:
    if output is not None:
        return output.resolve().as_uri()
    return os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").resolve().as_uri()


def _add(client: Any, experiment: str, one: TrackedRun, tags: Mapping[str, str]) -> str:
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(experiment, run_name=one.name, tags=dict(tags))
    id_: str = run.info.run_id
    now = run.info.start_time
    client.log_batch(
        id_,
        params=[Param(name, value[:_LONGEST]) for name, value in one.params.items()][:100],
        tags=[RunTag(name, value[:_LONGEST]) for name, value in one.tags.items()][:100],
    )
    metrics = [Metric(name, value, now, 0) for name, value in one.metrics.items()]
    for start in range(0, len(metrics), _METRICS):
        client.log_batch(id_, metrics=metrics[start : start + _METRICS])
    client.set_terminated(id_)
    return id_


def _put(client: Any, id_: str, name: str, path: Path) -> None:
    """Have a file as an artefact by the name that it is to have there, which MLflow takes from the file."""
    parent, last = PurePosixPath(name).parent, PurePosixPath(name).name
    folder = None if parent == PurePosixPath() else str(parent)
    if path.name == last:
        client.log_artifact(id_, str(path), folder)
        return
    with tempfile.TemporaryDirectory(prefix="gpupool-") as draft:
        client.log_artifact(id_, shutil.copyfile(path, Path(draft) / last), folder)
