"""The console: what the user is told while a run goes on, and the warnings that are shown at its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import pytest

from ..foreign.pytest_names import end_line
from ..options import companions


class Console:
    """The terminal of the controller's process, by pytest's own reporter, which may be switched off."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.warnings: list[str] = []
        """What :meth:`warn` was told, for pytest's summary."""

    @property
    def is_quiet(self) -> bool:
        """Whether the user asked for quiet, so that pytest shows no header."""
        return companions.is_quiet(self._config)

    def tell(self, text: str, *, label: bool = True) -> None:
        """Show a line now, unless the user asked for quiet."""
        reporter = self._reporter
        if reporter is not None and self._config.get_verbosity() >= 0:
            end_line(self._config, reporter)
            reporter.write_line(f"gpupool: {text}" if label else text)
            reporter.flush()  # a file or a pipe, as a CI system's log, would have it much later

    def lines(self, texts: Iterable[str]) -> None:
        """Show lines now that the user has asked for, with ``-q`` too; without pytest's reporter as plain output."""
        reporter = self._reporter
        if reporter is None:
            for text in texts:
                print(text)
            return
        end_line(self._config, reporter)
        for text in texts:
            reporter.write_line(text)

    def warn(self, text: str) -> None:
        """Show a warning at the end of the run, in any case."""
        self.warnings.append(text)

    def show(self, text: str) -> None:
        """Show lines now, in any case: pytest shows no summary, and so no warning, for every exit status."""
        reporter = self._reporter
        if reporter is not None:
            end_line(self._config, reporter)
            reporter.write_line(f"gpupool: {text}", red=True)

    def stop(self, text: str, status: int) -> NoReturn:
        """End the run now, for a reason that is shown even where the user asked for quiet."""
        reporter = self._reporter
        if reporter is None:
            pytest.exit(f"gpupool: {text}", status)
        end_line(self._config, reporter)
        reporter.write_line(f"gpupool: {text}", red=True)
        pytest.exit("gpupool cannot go on, see above", status)

    @property
    def _reporter(self) -> Any:
        return self._config.pluginmanager.getplugin("terminalreporter")


def first_few(names: list[str]) -> str:
    """Return some names as a warning has them: ``a, b, c and 4 more``."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
