"""Weights & Biases: offline runs, which 'wandb sync' uploads when somebody wants that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .exporters import Order
from .tracked import runs

_PROJECT = "pytest-gpupool"


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write them below the folder that is named, else here. Nothing is sent anywhere."""
    import wandb

    folder = order.output or Path()
    folder.mkdir(parents=True, exist_ok=True)
    project, count = os.environ.get("WANDB_PROJECT") or _PROJECT, 0
    settings = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True)
    for one in runs(report, order.per):
        run = wandb.init(
            project=project,
            name=one.name,
            group=report["run"]["id"],
            config={**one.params, **one.tags},
            dir=str(folder),
            mode="offline",
            reinit="create_new",
            settings=settings,
        )
        run.log(dict(one.metrics))
        if not count:
            for path in order.files.values():
                artifact = wandb.Artifact(path.stem, type="report")
                artifact.add_file(str(path))
                run.log_artifact(artifact)
        run.finish()
        count += 1
    return f"{folder / 'wandb'}: {count} offline run{'' if count == 1 else 's'}; 'wandb sync' uploads what is there"
