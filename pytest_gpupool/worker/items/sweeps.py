"""Sweeps: the tests of a sweep file, one for each configuration of a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...records import store
from ...script.result import ScriptError
from ...script.running import Request
from ...script.sweep_file import Configuration, configurations
from ...values.errors import UsageProblem
from ..recording.recorder import recorder_key
from .scripts import run_in


class SweepFile(pytest.File):
    """A sweep file, as pytest collects it."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its tests; what is wrong with it is an error of the collection."""
        try:
            found = configurations(self.path)
        except UsageProblem as problem:
            raise self.CollectError(str(problem)) from None
        for one in found:
            yield SweepItem.from_parent(self, name=one.name, configuration=one)


class SweepItem(pytest.Item):
    """One configuration of a script."""

    def __init__(self, *, configuration: Configuration, **about: Any) -> None:
        super().__init__(**about)
        self.configuration = configuration
        self.gpupool_params = dict(configuration.params)
        self.gpupool_sources = (configuration.script,)
        if configuration.needs:
            self.add_marker(pytest.mark.gpupool(**configuration.needs))

    def runtest(self) -> None:
        """Run the script."""
        __tracebackhide__ = True
        one, recorder = self.configuration, self.config.stash[recorder_key]
        log = recorder.logs.path_of(self.nodeid)
        out, id = ("", self.name) if log is None else (str(store.out_of(log.parents[2])), log.stem)
        if any("{out}" in text for text in (*one.args, *one.env.values())):
            if not out:
                pytest.fail("gpupool: {out} is in the run's directory, and this run keeps none", pytrace=False)
            Path(out).mkdir(parents=True, exist_ok=True)
        request = Request(
            path=one.script,
            params=one.params,
            args=[one.filled(text, out, id) for text in one.args],
            style=one.style,
            timeout=one.timeout,
            env={name: one.filled(text, out, id) for name, text in one.env.items()},
            metrics=one.metrics,
        )
        run_in(self, recorder.attempt_at(self), request)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what a script's failure says, without the way to it."""
        if isinstance(excinfo.value, ScriptError | pytest.fail.Exception):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where it stands in its file."""
        return self.path, self.configuration.line - 1, self.name
