"""MLflow: a run of an experiment, or one per test below it; files go along as artefacts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .exporters import TEST, Order
from .tracked import TrackedRun, about, runs

_EXPERIMENT = "pytest-gpupool"
_LONGEST = 5000  # characters of a tag, and of a parameter from 2.8 on


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it into the folder that is named, else where ``MLFLOW_TRACKING_URI`` says, else into ``mlruns``."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.tracking import MlflowClient

    place = _place(order.output)
    if place.startswith("file:"):  # which MLflow 3 has by this word alone
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    try:
        client = MlflowClient(tracking_uri=place)
        known = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if known is None else known.experiment_id
        whole = TrackedRun(name=report["run"]["id"], params={}, tags=about(report), metrics={})
        found = list(runs(report, order.per))
        first = _add(client, experiment, whole if order.per == TEST else found.pop(), {})
        for one in found:
            _add(client, experiment, one, {"mlflow.parentRunId": first})
        for path in order.files.values():
            client.log_artifact(first, str(path))
    except mlflow.exceptions.MlflowException as error:
        raise OSError(None, str(error), str(place)) from None
    return f"{place}: run {first} of experiment {name}{f', with {len(found)} runs below it' if found else ''}"


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
        metrics=[Metric(name, value, now, 0) for name, value in one.metrics.items()][:1000],
        params=[Param(name, value[:_LONGEST]) for name, value in one.params.items()][:100],
        tags=[RunTag(name, value[:_LONGEST]) for name, value in one.tags.items()][:100],
    )
    rest = [Metric(name, value, now, 0) for name, value in one.metrics.items()][1000:]
    for start in range(0, len(rest), 1000):
        client.log_batch(id_, metrics=rest[start : start + 1000])
    client.set_terminated(id_)
    return id_
