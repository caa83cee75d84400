"""When the pool is on: decided before a conftest.py is loaded, and put right when the options are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support import Host, Run

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])

SUITE = """
    import os
    import pytest

    @pytest.mark.parametrize("case", range(4))
    def test_case(case, gpu, record_metric):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == str(os.environ["GPUPOOL_DEVICES"][11])
        record_metric("case", case)
"""
"""Fails on a device that is not the worker's own: the ids of stand-in GPUs have their numbers in the 12th place."""

IN_CONTROLLER = """
import pytest

@pytest.hookimpl(tryfirst=True)
def {hook}(config):
    if not hasattr(config, "workerinput"):
        {line}
"""


def leased(run: Run) -> dict[str, list[str]]:
    """What each worker held."""
    return {worker["id"]: worker["devices"] for worker in run.report["workers"]}


def is_on(run: Run, workers: Sequence[str]) -> bool:
    """Whether each of these workers held one device, and no two the same."""
    assert run.status == 0, run.output
    assert len(run.outcomes) == 4
    held = leased(run)
    assert set(held) == set(workers)
    assert len({tuple(devices) for devices in held.values()}) == len(held)
    return all(len(devices) == 1 for devices in held.values())


def runs_on_record(host: Host) -> list[Path]:
    """The directories of the runs."""
    return sorted(host.project.glob(".gpupool/runs/*"))


class TestPaths:
    """``gpupool_paths`` is about what pytest takes for paths in the end."""

    @pytest.fixture
    def suite(self, host: Host) -> Host:
        """Evaluations on which the pool is on, with an option of their own; other tests, and a folder for its value."""
        host.write("pytest.ini", "[pytest]\ngpupool_paths = evals\npythonpath = .\n")
        host.write("conftest.py", "def pytest_addoption(parser): parser.addoption('--data')\n")
        host.write("evals/__init__.py", "")
        host.write("evals/test_evals.py", SUITE)
        host.write("unit/test_unit.py", "import os\ndef test_unit(): assert 'GPUPOOL_RUN' not in os.environ\n")
        host.write("data/values.txt", "1\n")
        return host

    @with_workers
    @pytest.mark.parametrize(
        "args",
        [
            ("--data", "data", "evals"),
            ("evals", "--data", "data"),
            ("--data", "x" * 300, "evals"),
            ("--pyargs", "evals"),
            ("--pyargs", "evals.test_evals"),
            ("evals/test_evals.py::test_case",),
        ],
        ids=["before", "after", "long", "package", "module", "test"],
    )
    def test_a_word_that_is_no_path_switches_nothing_off(
        self, suite: Host, workers: tuple[str, ...], args: tuple[str, ...]
    ) -> None:
        """An option's value, a long one too, and a package's name."""
        assert is_on(suite.pytest(*workers, *args), ["gw0", "gw1"] if workers else ["main"])

    @with_workers
    def test_on_late(self, suite: Host, workers: tuple[str, ...]) -> None:
        """Where nothing is named but an option's value, only the conftest.py tells that testpaths count."""
        suite.write("pytest.ini", "[pytest]\ngpupool_paths = evals\ntestpaths = evals\n")
        assert is_on(suite.pytest(*workers, "--data", "data"), ["gw0", "gw1"] if workers else ["main"])

    @with_workers
    def test_off_late(self, suite: Host, workers: tuple[str, ...]) -> None:
        """A path that may have been an option's value was none: what was leased is given back, nothing is on record."""
        run = suite.pytest(*workers, "evals", "-v", "unit", "--deselect=evals")
        assert run.status == 0, run.output
        assert "gpupool: off here (by gpupool_paths: unit lies in none of evals)" in run.stdout
        assert "gpupool: off here (by gpupool_paths), --gpupool-json has no effect" in run.stdout
        assert suite.held() == set()
        assert runs_on_record(suite) == []
        assert not (suite.project / "report.json").exists()

    def test_off_is_said(self, suite: Host) -> None:
        """With the path and the folders."""
        run = suite.pytest("unit")
        assert run.status == 0, run.output
        assert "gpupool: off here (by gpupool_paths: unit lies in none of evals)" in run.stdout


class TestWorkers:
    """Who says how many workers there are."""

    @pytest.fixture
    def suite(self, host: Host) -> Host:
        """Tests that fail on a device of another worker."""
        host.write("test_suite.py", SUITE)
        return host

    def with_variable(self, host: Host, value: str, *args: str) -> Run:
        """Run with xdist's variable for ``-n auto``."""
        return host.pytest("-nauto", *args, environ=host.environ(PYTEST_XDIST_AUTO_NUM_WORKERS=value))

    def test_none(self, suite: Host) -> None:
        """As without the option."""
        assert is_on(suite.pytest("-n0"), ["main"])

    def test_fewer_than_none(self, suite: Host) -> None:
        """Xdist would quietly run all in one process."""
        run = suite.pytest("-n", "-1")
        assert run.status == 4
        assert "gpupool: -n -1: give a number of workers from 0, or auto" in run.stderr
        assert runs_on_record(suite) == []

    @pytest.mark.parametrize("value", ["3", "9"])
    def test_auto_by_the_environment(self, suite: Host, value: str) -> None:
        """As many as it says, as far as the pool has them."""
        run = self.with_variable(suite, value)
        assert is_on(run, [f"gw{number}" for number in range(min(4, int(value)))])
        assert ("9 workers asked for, but the pool has 4 slots" in run.stdout) is (value == "9")

    def test_auto_is_none_by_the_environment(self, suite: Host) -> None:
        """It is known only when the controller has begun, and leased then."""
        assert is_on(self.with_variable(suite, "0"), ["main"])

    def test_auto_is_nonsense_by_the_environment(self, suite: Host) -> None:
        """Below 0 it is refused by name, what is no number is passed over, and said."""
        run = self.with_variable(suite, "-2")
        assert run.status == 4
        assert "gpupool: -n auto is -2 by PYTEST_XDIST_AUTO_NUM_WORKERS: give a number of workers from 0" in run.stderr
        run = self.with_variable(suite, "three")
        assert is_on(run, ["gw0", "gw1", "gw2", "gw3"])
        told = "PYTEST_XDIST_AUTO_NUM_WORKERS=three is no number and counts for nothing"
        assert f"UserWarning: gpupool: {told}" in run.stderr

    @pytest.mark.parametrize("count", [0, 3, 9])
    def test_auto_by_a_conftest(self, suite: Host, count: int) -> None:
        """Its hook says it, before the environment and the pool."""
        suite.write("conftest.py", f"def pytest_xdist_auto_num_workers(config): return {count}\n")
        run = self.with_variable(suite, "2")
        assert is_on(run, [f"gw{number}" for number in range(min(4, count))] or ["main"])
        assert ("9 workers asked for, but the pool has 4 slots" in run.stdout) is (count == 9)

    def test_by_a_plugin_that_changes_the_command_line(self, suite: Host) -> None:
        """As pytest's documentation shows it: the lease of the one process goes back, and workers lease."""
        suite.write(
            "adds.py",
            """
            import os
            def pytest_load_initial_conftests(early_config, args, parser):
                if "PYTEST_XDIST_WORKER" not in os.environ:
                    args[:] = ["-n", "4"] + args
            """,
        )
        run = suite.pytest("-p", "adds", environ=suite.environ(PYTHONPATH=str(suite.project)))
        assert is_on(run, ["gw0", "gw1", "gw2", "gw3"])
        assert len(runs_on_record(suite)) == 1

    @pytest.mark.every_way
    @pytest.mark.parametrize(
        ("line", "args", "workers"),
        [
            ("config.option.numprocesses = 4", (), ["gw0", "gw1", "gw2", "gw3"]),
            ("config.option.numprocesses = 2", ("-n3",), ["gw0", "gw1"]),
            ("config.option.numprocesses = 0", ("-n3",), ["main"]),
        ],
        ids=["adds", "changes", "takes back"],
    )
    def test_by_a_hook_of_a_conftest(
        self, suite: Host, line: str, args: tuple[str, ...], workers: Sequence[str]
    ) -> None:
        """Before xdist makes its options of them."""
        suite.write("conftest.py", IN_CONTROLLER.format(hook="pytest_cmdline_main", line=line))
        assert is_on(suite.pytest(*args), workers)
        assert len(runs_on_record(suite)) == 1
        assert suite.held() == set()

    @pytest.mark.every_way
    @pytest.mark.parametrize(
        ("line", "args", "words"),
        [
            ("config.option.tx = ['popen'] * 2; config.option.dist = 'load'", (), "has added workers"),
            ("config.option.tx = []", ("-n3",), "has taken back workers"),
        ],
        ids=["adds", "takes back"],
    )
    def test_too_late(self, suite: Host, line: str, args: tuple[str, ...], words: str) -> None:
        """Where that is heard only after the pool was set up the run ends with the cause, before any test."""
        text = IN_CONTROLLER.format(hook="pytest_configure", line=line)
        suite.write("conftest.py", text.replace("tryfirst=True", ""))
        run = suite.pytest(*args)
        assert run.status == 4, run.output
        assert f"gpupool: a plugin or conftest.py {words} (--dist, --tx) in its pytest_configure" in run.stderr
        assert runs_on_record(suite) == []

    def test_a_device_that_was_used_cannot_be_given_back(self, suite: Host) -> None:
        """The one process would keep it, beside a worker that has it."""
        text = IN_CONTROLLER.format(hook="pytest_cmdline_main", line="config.option.numprocesses = 4")
        suite.write(
            "conftest.py",
            text + "import os, torch\nif 'PYTEST_XDIST_WORKER' not in os.environ:\n    torch.cuda.init()\n",
        )
        run = suite.pytest(environ=suite.torch_environ())
        assert run.status == 4, run.output
        assert (
            "gpupool: a plugin or conftest.py has used GPU 0 in this process, and then something has added"
            in run.stderr
        )
        assert runs_on_record(suite) == []
