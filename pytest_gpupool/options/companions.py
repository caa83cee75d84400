"""Companions: the options of pytest, xdist and pytest-cov that matter here, also before all are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def distribution_mode(config: pytest.Config) -> str:
    """Return xdist's ``--dist`` as it is once all options are parsed: xdist may have changed what was given."""
    return str(config.getoption("dist", "no"))


def given_mode(config: pytest.Config) -> str:
    """Return ``--dist`` as the command line and the ini file give it, the same in controller, workers and alone."""
    return str(_given(config, "dist", "no"))


def runs_each(config: pytest.Config) -> bool:
    """Whether every worker runs every test."""
    # In a worker xdist has put its own option back; elsewhere a plugin may have set it after the command line was read.
    is_late = bool(config.args) and not hasattr(config, "workerinput")
    late = getattr(config.option, "dist", "no")  # xdist may be switched off
    return bool((late if is_late else _given(config, "dist", "no")) == "each")


def groups_by_mark(config: pytest.Config) -> bool:
    """Whether xdist's mark ``xdist_group`` says which tests stay together. xdist keeps that apart from its mode."""
    return bool(config.getoption("loadgroup", False))


def largest_group_first(config: pytest.Config) -> bool:
    """Whether xdist's ``--no-loadscope-reorder`` was not given."""
    return bool(config.getoption("loadscopereorder", True))


def start_no_workers(config: pytest.Config) -> None:
    """Have xdist start none, whatever was asked of it. Called before its own ``pytest_configure``."""
    config.option.dist, config.option.tx, config.option.numprocesses = "no", [], None


def be_alone(config: pytest.Config) -> None:
    """Have neither workers nor a debugger, whatever was asked for: this process is to run one test of another's."""
    start_no_workers(config)
    config.option.usepdb = config.option.trace = False


def swallows(config: pytest.Config, nodeid: str) -> bool:
    """Whether pytest-rerunfailures would pass over a test that crashed: as often as it is to be run again for that."""
    known = getattr(config, "failures_db", None)
    if known is None:
        return False
    reruns = known.get_test_reruns(nodeid)
    return bool(reruns) and bool(known.get_test_failures(nodeid) > reruns)


def other_reporters(config: pytest.Config) -> frozenset[str]:
    """Return which plugins make reports of their own that have a place for what we know: ``html``, ``allure``."""
    places = {"html": "htmlpath", "allure": "allure_report_dir"}
    return frozenset(name for name, option in places.items() if config.getoption(option, None))


def has_proxies(config: pytest.Config) -> bool:
    """Whether xdist is to start workers behind proxies, by ``--px``."""
    return bool(config.getoption("px", ()))


def limits_restarts(config: pytest.Config) -> bool:
    """Whether the user says how many workers may be replaced, by xdist's ``--max-worker-restart``."""
    return config.getoption("maxworkerrestart", None) is not None


def ordering(config: pytest.Config) -> list[str]:
    """Return which options and plugins that are known for it may have ordered the tests."""
    known = {
        "--ff": config.getoption("failedfirst", False),
        "--nf": config.getoption("newfirst", False),
        "--sw": config.getoption("stepwise", False),
        "pytest-randomly": config.pluginmanager.hasplugin("randomly")
        and config.getoption("randomly_reorganize", False),
        "pytest-order": config.pluginmanager.hasplugin("order"),
    }
    return [name for name, is_there in known.items() if is_there]


def debugs(config: pytest.Config) -> bool:
    """Whether a debugger may take the terminal. Any of pytest's own plugins may be off, and with it its options."""
    return bool(_given(config, "usepdb", False) or _given(config, "trace", False))


def captures(config: pytest.Config) -> bool:
    """Whether pytest captures what tests write."""
    return bool(_given(config, "capture", "no") != "no")


def is_quiet(config: pytest.Config) -> bool:
    """Whether the user asked for quiet."""
    return bool(_given(config, "verbose", 0) < 0)


def junit_file(config: pytest.Config) -> Path | None:
    """Return where pytest's own JUnit file is to be written, None where none is."""
    path = _given(config, "xmlpath", None)
    return None if path is None else config.invocation_params.dir / path


def report_files(config: pytest.Config) -> dict[str, Path | None]:
    """Return which files others write: pytest itself, and pytest-html, by the option that names each."""
    html = _given(config, "htmlpath", None)
    there = config.invocation_params.dir
    return {"--junitxml": junit_file(config), "--html": None if html is None else there / html}


def test_files(config: pytest.Config) -> list[str]:
    """Return the patterns that the names of test files match."""
    patterns: list[str] = config.getini("python_files")
    return patterns


def keep_coverage(config: pytest.Config) -> None:
    """Have pytest-cov, where it is there, add to the data that it finds."""
    if hasattr(config.known_args_namespace, "cov_append"):
        config.known_args_namespace.cov_append = True


def add_argument(config: pytest.Config, path: Path, *, by_ini: bool) -> None:
    """Have pytest collect a file too.

    Where nothing was named on the command line it is that file alone, unless the ini file names it: then it is one of
    those that are collected without a word, and no other argument brings it.
    """
    is_named = config.args_source is pytest.Config.ArgsSource.ARGS  # in a worker always
    if by_ini and is_named:
        return
    if not by_ini and not is_named:
        config.args[:] = []
    if not any((config.invocation_params.dir / arg).resolve() == path.resolve() for arg in config.args):
        config.args.append(str(path))


def leave_seeds_alone(config: pytest.Config) -> None:
    """Have pytest-randomly, where it is there, seed nothing: it gives each test the same seed, after ours."""
    if hasattr(config.option, "randomly_reset_seed"):
        config.option.randomly_reset_seed = False


def _given(config: pytest.Config, name: str, default: Any) -> Any:
    # What could be made out without conftest.py files. Until all is parsed, config.option has defaults.
    return getattr(config.known_args_namespace, name, default)
