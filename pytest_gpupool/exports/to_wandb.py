"""Weights & Biases: offline runs, which 'wandb sync' uploads when somebody wants that, and what tests have kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .exporters import Order
from .tracking.kept import Kept
from .tracking.tracked import TrackedRun, runs

_PROJECT = "pytest-gpupool"


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write them below the folder that is named, else here. Nothing is sent anywhere."""
    import wandb

    folder = order.output or Path()
    folder.mkdir(parents=True, exist_ok=True)
    kept, count = Kept(order.folders), 0
    try:
        for one in runs(report, order.per):
            files = {**({} if count else order.files), **dict(kept.found(one.files))}
            _write(wandb, folder, one, report["run"]["id"], files)
            count += 1
    except wandb.Error as error:
        raise OSError(None, str(error), str(folder)) from None
    several = "" if count == 1 else "s"
    return f"{folder / 'wandb'}: {count} offline run{several}{kept.told}; 'wandb sync' uploads what is there"


def _write(wandb: Any, folder: Path, one: TrackedRun, group: str, files: Mapping[str, Path]) -> None:
    settings = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or _PROJECT,
        name=one.name,
        group=group,
        config={**one.params, **one.tags},
        dir=str(folder),
        mode="offline",
        settings=settings,
    )
    try:
        run.log(dict(one.metrics))
        # Into the run's own folder, and as no artifact: the files of one lie in the user's home until they are sent.
        for name, path in files.items():
            copy = Path(run.dir) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            run.save(str(copy), base_path=run.dir, policy="now")
    finally:
        run.finish()
