"""The planned run's hooks: they collect in this process, and where tests would run the plan is shown instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from ...devices import vendors
from ...foreign import xdist_session
from ...options import companions, role_end, worker_count
from ...options.options import Options
from ...records.store import LATEST, write_whole
from ...reports.terminal import plan as words
from ...shards.frozen import Frozen
from ...worker.choosing import resume as deselection
from ...worker.choosing import shard
from ...worker.items import repeats
from ...worker.items.identity import tell_apart
from ...worker.protocol.order import Order
from ...worker.trespass import hooks as trespass
from .. import environment
from ..console import Console
from ..devices import find
from ..devices.run_devices import RunDevices
from ..earlier import resume
from ..earlier.history import History
from ..records import RunRecords
from . import document
from .suite import Workforce, impossible, problem_of
from .wish import NAME, Wish


def begin(config: pytest.Config) -> None:
    """Register what plans in this process. It sees no device, since a conftest.py might begin to use one.

    Raises:
        GpupoolError: see :class:`Options`, :func:`pool.discover`.
    """
    options, console = Options.read(config), Console(config)
    there = find.find(options, distributed=True)
    if there.placed is not None:
        role_end.at_end(config, there.placed[0].close)
    records = RunRecords("", None, console, each=False)
    devices = there.of_run(options, records, console)
    history = History(options, devices, records, console)
    planned = Planned(options, console, devices, history)
    config.pluginmanager.register(planned, "gpupool-planned")
    config.pluginmanager.register(planned.order, "gpupool-order")
    vendor = vendors.of(there.pool.devices)
    hidden = vendor.export((), "index")
    environment.set_until_end(config, hidden)
    trespass.hide_again(config, hidden, vendor)


class Planned:
    """Collects as a run would, and shows the plan."""

    def __init__(self, options: Options, console: Console, devices: RunDevices, history: History) -> None:
        self.order = Order()
        self._options = options
        self._console = console
        self._devices = devices
        self._history = history
        self._asked: int | None = None
        self._mode = "no"
        self._kept: dict[str, Any] | None = None

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_xdist_auto_num_workers(self, config: pytest.Config) -> int:
        """``-n auto`` is what it would be now."""
        return worker_count.of_auto(config, self, self._devices.workers_of_auto)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take note of the workers that were asked for, and have xdist start none."""
        if config.pluginmanager.hasplugin("xdist"):
            specs = xdist_session.wished_workers(config)
            if specs:
                self._asked, self._mode = len(specs), companions.distribution_mode(config)
            companions.start_no_workers(config)

    @pytest.hookimpl
    def pytest_report_header(self) -> list[str]:
        """Say what the pool is."""
        asked = self._asked or 1
        return [self._devices.header(min(asked, self._devices.places() or asked)), "gpupool: plans, and runs nothing"]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """See what a resume would keep; with ``--gpupool-resume`` only the rest is planned."""
        tell_apart(items)
        if self._mode != "each":
            repeats.unfold(items, self._options.repeats)
        if self._options.shard is not None:
            frozen = Frozen(self._options.shard, self._history.learned())
            part, others = shard.split(items, config, frozen, self._options.repeats)
            self._console.tell(part.text())
            config.hook.pytest_deselected(items=others)
        wanted, total = self._options.resume, len(items)
        earlier, why_not = resume.find(config, self._options, wanted or LATEST)
        if earlier is None:
            if wanted is not None:
                self._console.tell(f"a new run, --gpupool-resume goes on with none: {why_not}")
            return
        to_run, kept, _ = deselection.split(session, items, earlier.recipes(), self._options.repeats)
        earlier.close()  # others may go on with it meanwhile: this is only a look
        self._kept = {"run": earlier.run, "tests": len(kept), "of": total, "resumed": wanted is not None}
        if wanted is not None and kept:
            config.hook.pytest_deselected(items=kept)
            items[:] = to_run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Show the plan; where something could not be collected, pytest says so as ever."""
        config = session.config
        if session.testsfailed and not config.option.continue_on_collection_errors:
            return None
        wish: Wish = config.pluginmanager.getplugin(NAME) or Wish()
        if session.items:
            wish.plan = self._plan(session.items, config, wish.target)
            self._show(wish.plan)
            if words.misses_target(wish.plan):
                session.testsfailed += 1  # its exit status is 1
        return True

    def _plan(self, items: Sequence[pytest.Item], config: pytest.Config, target: float | None) -> dict[str, Any]:
        workforce = Workforce(
            asked=self._asked,
            mode=self._mode,
            devices=self._devices.pool.devices,
            places=self._devices.places(),
            slots=self._options.slots,
        )
        longest_first, learned = self._options.longest_first, self._history.learned()
        problem = problem_of(
            items,
            config,
            workforce,
            learned,
            timeout=self._options.timeout,
            deadline=self._options.budget,
            longest_first=not self.order.is_promised if longest_first is None else longest_first,
        )
        return document.plan(
            problem,
            [item.nodeid for item in items],
            workforce,
            learned,
            pool=self._devices.pool.describe(),
            target=target,
            kept=self._kept,
            impossible=impossible(items, self._devices.pool.devices),
            divide=partial(shard.divided, items, config, learned),
        )

    def _show(self, plan: Mapping[str, Any]) -> None:
        self._console.lines(words.lines(plan))
        path = self._options.json
        if path is not None:
            try:
                write_whole(path, json.dumps(plan, indent=1, allow_nan=False) + "\n")
            except OSError as error:
                self._console.stop(f"--gpupool-json={path}: {error.strerror}", pytest.ExitCode.TESTS_FAILED)
