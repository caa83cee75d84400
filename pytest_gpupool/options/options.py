"""Options: what the user chose, on the command line or in the ini file. Parsed once, into a typed value."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from ..engines import engines
from ..foreign.pytest_names import declared_ini_values, ini_values
from ..records import durations
from ..records.store import HISTORY, LATEST, is_run_id
from ..shards import place
from ..shards.place import Shard
from ..values import nodeids, texts
from ..values.device import BUSY_MEMORY, Export, Size
from ..values.errors import UsageProblem
from ..values.outcomes import MACHINE, OUT_OF_MEMORY
from ..values.verdicts import CONFIRM, ERROR, FAILING, RTOL
from . import companions, declarations, files, parsing
from .role import only_informs

_SECONDS = "seconds from 0, or a time such as 90s, 5m or 2h"
_LIMIT = _SECONDS.replace("from", "above")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a run, checked."""

    devices: str
    require: int
    wait: float
    export: Export
    lock_dir: str | None
    directory: Path
    json: Path | None
    html: Path | None
    markdown: Path | None
    source_url: str | None
    resume: str | None
    resume_anyway: bool
    keep_runs: int
    busy_memory: Size | None
    slots: int
    longest_first: bool | None
    """None where nobody has said: then not where something else orders the tests."""
    timeout: float | None
    budget: float | None
    """Seconds from the run's start."""
    seed: int | None
    """From which, with its id, every test's seed is made."""
    oom_retries: int
    machine_retries: int
    repeats: int
    baseline: Path | None
    update_baseline: bool
    reason: str
    fail_on: frozenset[str]
    rtol: float
    error: float
    """How likely an unchanged suite may fail, over all its metrics."""
    confirm: int
    """How often a test is measured again at most, of which a metric is suspect."""
    sample: float
    live: bool
    yields: bool
    affinity: bool
    isolate: bool
    shard: Shard | None
    durations: Path
    history: Path | None
    """The store of metrics over runs, None where there is none."""
    engine: str
    engine_args: Mapping[str, str | None]

    @property
    def retries(self) -> dict[str, int]:
        """How often a test is tried again that failed of a cause, by :data:`CAUSES`."""
        return {OUT_OF_MEMORY: self.oom_retries, MACHINE: self.machine_retries}

    @classmethod
    def read(cls, config: pytest.Config) -> Options:
        """Read them from the command line, else from the ini file.

        Raises:
            UsageProblem: naming the option and what it may be.
        """
        source = parsing.Source(config)
        baseline, update = source.path("gpupool-baseline"), source.flag("gpupool-update-baseline")
        shard = source.parse("gpupool-shard", partial(place.parse, environ=os.environ), place.EXPECTED, None)
        if update:
            _refuse_update(baseline, shard)
        directory = source.path("gpupool-dir") or config.rootpath / ".gpupool"
        found = cls(
            devices=source.parse("gpupool-devices", parsing.spec, "'auto', 'cpu' or a list such as 0,2", "auto"),
            require=source.parse("gpupool-require", parsing.whole, "a whole number from 0", 0),
            wait=source.parse("gpupool-wait", texts.seconds, _SECONDS, 3600.0),
            export=source.parse("gpupool-export", parsing.export, "'index' or 'uuid'", "index"),
            lock_dir=str(path) if (path := source.path("gpupool-lock-dir")) else None,
            directory=directory,
            json=parsing.writable(source.path("gpupool-json"), "gpupool-json"),
            html=parsing.writable(source.path("gpupool-html"), "gpupool-html"),
            markdown=parsing.writable(source.path("gpupool-markdown"), "gpupool-markdown"),
            source_url=source.parse("gpupool-source-url", nodeids.source_template, nodeids.SOURCE_TEMPLATE, None),
            resume=source.parse("gpupool-resume", parsing.run, "a run such as those that 'gpupool runs' lists", None),
            resume_anyway=source.flag("gpupool-resume-anyway"),
            keep_runs=_keep_runs(config),
            busy_memory=None
            if source.flag("gpupool-allow-busy")
            else source.parse("gpupool-busy-memory", Size.parse, "a size such as 512MiB or 0.1", BUSY_MEMORY),
            slots=source.parse("gpupool-slots", parsing.positive, "a whole number from 1", 1),
            longest_first=source.parse("gpupool-order", parsing.order, "'longest' or 'file'", None),
            timeout=source.parse("gpupool-timeout", parsing.limit, _LIMIT, None),
            budget=source.parse("gpupool-budget", parsing.limit, _LIMIT, None),
            seed=source.parse("gpupool-seed", parsing.seed, "a whole number from 0", None),
            oom_retries=source.parse("gpupool-oom-retries", parsing.whole, "a whole number from 0", 1),
            machine_retries=source.parse("gpupool-machine-retries", parsing.whole, "a whole number from 0", 1),
            repeats=source.parse("gpupool-repeats", parsing.positive, "a whole number from 1", 1),
            baseline=parsing.writable(baseline, "gpupool-baseline") if update else baseline,
            update_baseline=update,
            reason=source.parse("gpupool-reason", str, "a text", "--gpupool-update-baseline"),
            # What is new gets an entry then; what has changed does not.
            fail_on=fail_on(config) - {"no-baseline"} if update else fail_on(config),
            rtol=_rtol(config),
            error=source.parse("gpupool-error", parsing.chance, "a number above 0 and below 1, such as 0.01", ERROR),
            confirm=source.parse("gpupool-confirm", parsing.whole, "a whole number from 0", CONFIRM),
            sample=source.parse("gpupool-sample", texts.seconds, _SECONDS, 0.5),
            live=source.flag("gpupool-live"),
            yields=source.flag("gpupool-yield"),
            affinity=source.flag("gpupool-affinity"),
            isolate=source.flag("gpupool-isolate"),
            shard=shard,
            engine=source.parse("gpupool-engine", parsing.engine, " or ".join(map(repr, engines.NAMES)), engines.LOCAL),
            engine_args=source.parse("gpupool-engine-args", parsing.engine_args, "K=V,K=V, each K once", {}),
            history=parsing.writable(source.path("gpupool-history"), "gpupool-history")
            or _if_there(directory / HISTORY),
            durations=_durations(source, is_written=shard is None) or directory / durations.NAME,
        )
        files.refuse_same(found._files() | companions.report_files(config))
        return found

    def _files(self) -> dict[str, Path | None]:
        names = ("json", "html", "markdown", "baseline", "durations", "history")
        return {f"--gpupool-{name}": getattr(self, name) for name in names}


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def given_in_vain(config: pytest.Config) -> list[str]:
    """Return the options that the command line has although the pool is off, once they are known to be right.

    Raises:
        UsageProblem: see :meth:`Options.read`.
    """
    namespace = config.known_args_namespace
    given = [name for name in declarations.NAMES if getattr(namespace, name.replace("-", "_"), None) is not None]
    if given:
        Options.read(config)
    return [] if only_informs(config) else given


def off_lines(given: list[str], why: str | None) -> list[str]:
    """Return what pytest's header says where the pool is off: why, where options do not say so, and what is in vain."""
    if why is None:
        return []
    kind, _, detail = why.partition(": ")
    told = [f"gpupool: off here ({why})"] if detail else []
    return [*told, *(f"gpupool: off here ({kind}), --{name} has no effect" for name in given)]


def refuse_unknown(config: pytest.Config) -> None:
    """Say so where the ini file has a value that begins like ours and is none.

    Raises:
        UsageProblem: naming it, and the one that is most like it.
    """
    known = declared_ini_values(config)
    unknown = [name for name in ini_values(config) if name.startswith("gpupool") and name not in known]
    if unknown and not only_informs(config):
        from difflib import get_close_matches

        name = unknown[0]
        ours = [value for value in known if value.startswith("gpupool")]
        like = get_close_matches(name.replace("-", "_"), ours, n=1, cutoff=0.7)
        meant = f"; did you mean {like[0]}?" if like else ": 'pytest --help' lists those that there are"
        raise UsageProblem(f"the ini file has {name}, which is no option of pytest-gpupool{meant}")


def mend_resume(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Give back a path that ``--gpupool-resume`` has taken for its run, as in ``--gpupool-resume evals/``."""
    taken = getattr(config.known_args_namespace, "gpupool_resume", None)
    if taken is None or is_run_id(taken) or "--gpupool-resume" not in args:
        return
    index = args.index("--gpupool-resume")
    if args[index + 1 : index + 2] == [taken]:
        args[index] = f"--gpupool-resume={LATEST}"
        known = parser.parse_known_args(args, namespace=copy.copy(config.option))
        known.confcutdir = config.known_args_namespace.confcutdir  # which pytest has worked out since
        config.known_args_namespace = known


def _refuse_update(baseline: Path | None, shard: Shard | None) -> None:
    if baseline is None:
        raise UsageProblem("--gpupool-update-baseline: say which file with --gpupool-baseline=PATH")
    if shard is not None:
        raise UsageProblem(
            f"--gpupool-update-baseline and --gpupool-shard={shard} do not go together: a shard is not the whole run; "
            "'gpupool merge … --baseline FILE --update-baseline' adds that"
        )


def _durations(source: parsing.Source, *, is_written: bool) -> Path | None:
    path = source.path("gpupool-durations")
    if path is not None and not is_written and path.exists() and not path.is_file():
        raise UsageProblem(f"--gpupool-durations={path} is no file: give the path of one")
    return parsing.writable(path, "gpupool-durations") if is_written else path


def _keep_runs(config: pytest.Config) -> int:
    text = config.getini("gpupool_keep_runs")
    try:
        return parsing.positive(text)
    except ValueError:
        raise UsageProblem(f"gpupool_keep_runs = {text}: give a whole number from 1") from None


def fail_on(config: pytest.Config) -> frozenset[str]:
    """Return the verdicts that fail a test. Raises UsageProblem."""
    given = getattr(config.known_args_namespace, "gpupool_fail_on", None)
    texts = given or [config.getini("gpupool_fail_on") or declarations.FAIL_ON]
    kinds: frozenset[str] = frozenset()
    for text in texts:
        try:
            kinds |= parsing.fail_on(text)
        except ValueError:
            known = ", ".join((*FAILING, parsing.NONE))
            option = "--gpupool-fail-on=" if given else "gpupool_fail_on = "
            raise UsageProblem(f"{option}{text}: give some of {known}") from None
    return kinds


def _rtol(config: pytest.Config) -> float:
    text = config.getini("gpupool_rtol")
    try:
        return parsing.number(text)
    except ValueError:
        raise UsageProblem(f"gpupool_rtol = {text}: give a number from 0, such as {RTOL}") from None
