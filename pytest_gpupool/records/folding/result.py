"""The result of one test, and what is known of one worker.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...values.outcomes import WHOLE
from ...values.repeats import number_of
from ...values.verdicts import GONE, INVALID, is_disturbed

PHASE_KEYS = ("setup_s", "call_s", "teardown_s")

FINAL = WHOLE | {"skipped"}
"""Outcomes that a resumed run keeps. The others say more of the machine than of the test."""

# There are many tests, and most of these are empty: one is enough for all as long as nobody adds to it.
NOTHING: dict[str, Any] = {}


@dataclass(slots=True, kw_only=True)
class TestResult:
    """What is known of one test: its last attempt. Times are ISO 8601 texts, durations seconds."""

    __test__ = False  # the name would make pytest collect it

    nodeid: str
    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    outcome: str = "not-run"
    cause: str | None = None
    """What it failed of, see :data:`CAUSES`; None where that was its own doing, or it did not fail."""
    attempt: int = 0
    before: Sequence[Mapping[str, Any]] = ()
    """The attempts before this one, as :meth:`to_attempt` has them."""
    worker: str | None = None
    devices: Sequence[str] = ()
    started: str | None = None
    ended: str | None = None
    duration: float | None = None
    waited: float = 0.0
    """How long it waited for the controller, which is not in the duration."""
    set_ups: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """The seconds for which it set up what tests share, by wide fixture; they are not in the duration either."""
    phases: Mapping[str, float | None] = field(default_factory=lambda: NOTHING)
    metrics: dict[str, Mapping[str, Any]] = field(default_factory=lambda: NOTHING)
    items: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """What it has said of single items: their file and, once they are counted, their number; see :mod:`beside`."""
    attachments: Sequence[Mapping[str, Any]] = ()
    """What it has kept, see :mod:`beside.attachments`."""
    folder: str | None = None
    """Where it keeps it, in the run's directory; None where nothing is kept."""
    facts: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """What it has said of itself, by name."""
    message: str | None = None
    peak: int | None = None
    """The most bytes that torch held on a device, None where that is not known."""
    declared: int | None = None
    """The bytes that its marker asks for on each device, None where it asks for none."""
    resources: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """What the attempt used, as far as it was measured, and under ``devices`` what adds up over tests, by device."""
    output: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """What pytest captured: ``stdout``, ``stderr``, ``log``."""
    kind: str | None = None
    """The kind of device that it asked for, see :func:`baseline.kind_of`; None where it is not known."""
    is_judged: bool = False
    """Whether nothing but the verdict on a metric made it fail."""
    asked: Mapping[str, float | None] = field(default_factory=lambda: NOTHING)
    """What its marker says of ``memory`` (bytes) and ``timeout`` (seconds; None: no limit), what it says of them."""
    source: Sequence[Any] | None = None
    """The file that it is written in, from rootdir, and the line, where that is known."""
    recipe: str | None = None
    """What the result depends on, see :mod:`recipes`."""
    run: str | None = None
    """The earlier run whose result this is, None where it is this one's."""
    is_final: bool = True
    """Whether its outcome is one of its own: a failure by an assertion is, one by another exception is not."""
    repeat: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """Of a repeat of a test: how many there are, how many must pass, and how metrics are reduced."""
    repeats: Sequence[TestResult] = ()
    """Of a test that was measured several times: each of these."""
    again: list[TestResult] = field(default_factory=list)
    """The attempts that measured it again, after this one, since a metric was suspect: their metrics count as well."""
    suspects: Collection[str] = ()
    """The metrics that are to be measured again, or are being so."""
    reported: bool = False
    """Whether pytest has heard of its end in this process."""

    @property
    def finished(self) -> bool:
        """Whether there is an outcome of it."""
        return self.outcome != "not-run"

    @property
    def may_be_kept(self) -> bool:
        """Whether a run that goes on with this one need not run it again."""
        if self.suspects:
            return False
        return (self.outcome in FINAL and self.is_final) or self.is_judged

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Every attempt at it in this run, none where there was but one."""
        if not self.before and not self.again:
            return []
        later = [one.to_attempt() | {"attempt": one.attempt, "confirms": True} for one in self.again]
        return [*map(dict, self.before), self.to_attempt() | self._own_end(), *later]

    def _own_end(self) -> dict[str, Any]:
        """Return how the attempt itself ended, where the decision on all of them has failed the test."""
        if not self.is_judged or any(metric.get("verdict") == INVALID for metric in self.metrics.values()):
            return {}
        return {"outcome": "xpassed" if self.outcome == "xfailed" else "passed", "message": None}

    @property
    def is_disturbed(self) -> bool:
        """Whether its device was throttled, or used by others, meanwhile."""
        return is_disturbed(self.resources)

    def to_repeat(self) -> dict[str, Any]:
        """Return it as reports list the repeats of a test."""
        return {
            "repeat": number_of(self.nodeid),
            "outcome": self.outcome,
            "worker": self.worker,
            "devices": list(self.devices),
            "started": self.started,
            "duration_s": self.duration,
            "metrics": {name: metric["value"] for name, metric in self.metrics.items()},
            **({"items": dict(self.items)} if self.items else {}),
            **({"attachments": list(self.attachments)} if self.attachments else {}),
            "message": self.message,
        }

    def to_attempt(self) -> dict[str, Any]:
        """Return the last attempt, as reports list it."""
        peak = self.resources.get("peak_memory_bytes")
        return {
            "attempt": max(1, self.attempt),
            "outcome": self.outcome,
            "cause": self.cause,
            "worker": self.worker,
            "devices": list(self.devices),
            "started": self.started,
            "duration_s": self.duration,
            "peak_memory_bytes": self.peak if peak is None else peak,
            "rss_peak_bytes": self.resources.get("rss_peak_bytes"),
            "metrics": [_as_measured(metric) for metric in self.metrics.values() if metric.get("verdict") != GONE],
            **({"items": dict(self.items)} if self.items else {}),
            **({"attachments": list(self.attachments)} if self.attachments else {}),
            "message": self.message,
        }

    def to_record(self) -> dict[str, Any]:
        """Return it as a record of kind ``kept`` carries it."""
        return {
            "params": dict(self.params),
            "outcome": self.outcome,
            **({} if self.cause is None else {"cause": self.cause}),
            "attempt": self.attempt,
            **({"before": list(self.before)} if self.before else {}),
            **({"again": [one.to_record() for one in self.again]} if self.again else {}),
            **({} if self.declared is None else {"memory": self.declared}),
            "worker": self.worker,
            "devices": list(self.devices),
            "started": self.started,
            "ended": self.ended,
            "duration_s": self.duration,
            **({"waited_s": self.waited} if self.waited else {}),
            **({"set_ups": dict(self.set_ups)} if self.set_ups else {}),
            "phases": dict(self.phases),
            "metrics": list(self.metrics.values()),
            **({"items": dict(self.items)} if self.items else {}),
            **({"attachments": list(self.attachments)} if self.attachments else {}),
            **({"facts": dict(self.facts)} if self.facts else {}),
            "message": self.message,
            "torch_peak": self.peak,
            **({"resources": dict(self.resources)} if self.resources else {}),
            **({"output": dict(self.output)} if self.output else {}),
            **({"is_judged": True} if self.is_judged else {}),
            **({"repeat": dict(self.repeat)} if self.repeat else {}),
            "recipe": self.recipe,
            **({} if self.source is None else {"source": list(self.source)}),
            "device_kind": self.kind,
        }


def _as_measured(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metric as one attempt gave it, without what was decided of all."""
    told = {name: metric[name] for name in _MEASURED if name in metric}
    if "single" in metric:
        told["value"] = metric["single"]
    return told | {"verdict": INVALID if metric.get("verdict") == INVALID else None}


def that_count(attempts: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the metrics of the attempts at a test, as results and reports list these, that came to their end.

    What failed of a cause of its own, or died, may have measured that.
    """
    for attempt in attempts:
        if attempt["cause"] is None and attempt["outcome"] in FINAL:
            yield from (metric for metric in attempt.get("metrics", ()) if metric["verdict"] != INVALID)


_MEASURED = (
    *("name", "value", "non_finite", "kind", "unit", "higher_is_better", "n", "atol", "rtol"),
    *("per_item", "samples", "items", "repeats", "timing", "reduce"),
)
"""The keys of a metric that say what was measured."""


def _facts_of(repeats: Sequence[TestResult]) -> dict[str, str]:
    """Return what repeats say of themselves; what they do not agree on, each once."""
    names = dict.fromkeys(name for one in repeats for name in one.facts)
    return {name: ", ".join(dict.fromkeys(one.facts[name] for one in repeats if name in one.facts)) for name in names}


def of_repeats(nodeid: str, repeats: Sequence[TestResult], told: Mapping[str, Any] | None) -> TestResult:
    """Return the result of a test by those of its repeats, and what was told of it when the last one had ended.

    Its duration is the sum of theirs.
    """
    ran = [one for one in repeats if one.started is not None]
    runs, kinds = {one.run for one in repeats}, {one.kind for one in ran}
    phases = {phase: [one.phases[phase] or 0.0 for one in ran if phase in one.phases] for phase in PHASE_KEYS}
    found = TestResult(
        nodeid=nodeid,
        params=repeats[0].params,
        source=next((one.source for one in repeats if one.source is not None), None),
        attempt=1 if ran else 0,
        worker=ran[-1].worker if ran else None,
        devices=tuple(dict.fromkeys(device for one in ran for device in one.devices)),
        started=min((one.started for one in ran if one.started), default=None),
        ended=max((one.ended for one in ran if one.ended), default=None),
        duration=sum(one.duration or 0.0 for one in ran) if ran else None,
        waited=sum(one.waited for one in ran),
        set_ups={key: sum(one.set_ups.get(key, 0.0) for one in ran) for key in {k for one in ran for k in one.set_ups}},
        phases={phase: sum(seconds) for phase, seconds in phases.items() if seconds},
        kind=kinds.pop() if len(kinds) == 1 else None,
        run=runs.pop() if len(runs) == 1 else None,
        facts=_facts_of(repeats),
        repeats=tuple(repeats),
    )
    if told is not None:
        found.outcome, found.message, found.is_judged = told["outcome"], told["message"], told["is_judged"]
        found.metrics = {metric["name"]: metric for metric in told["metrics"]}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUse:
    """How well a run used its devices; times are seconds, None is what nothing tells.

    ``makespan`` is from the start of the first test to the end of the last one, ``busy`` the sum of the durations of
    its tests by device: what they share is set up beside that.
    """

    makespan: float | None
    busy: Mapping[str, float]

    @property
    def total(self) -> float:
        """The sum over the devices."""
        return sum(self.busy.values())

    @property
    def speedup(self) -> float | None:
        """How much longer one device alone would have been busy."""
        return self.total / self.makespan if self.makespan else None

    @property
    def efficiency(self) -> float | None:
        """The share of the makespan in which the devices that had a test were busy."""
        return self.speedup / len(self.busy) if self.speedup is not None and self.busy else None


@dataclass(slots=True, kw_only=True)
class SetUp:
    """One time that a wide fixture was set up, for a test, on devices; times are seconds."""

    fixture: str
    """Its key, see :class:`WideFixture`."""
    devices: Sequence[str]
    took: float
    tear_down: float = 0.0
    failed: bool = False

    @property
    def seconds(self) -> float:
        """What it took in all."""
        return self.took + self.tear_down


@dataclass(slots=True, kw_only=True)
class WorkerResult:
    """What is known of one worker."""

    id: str
    host: str | None = None
    pid: int | None = None
    devices: list[str] = field(default_factory=list)
    lease_wait: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str | None = None
    ready: str | None = None
    """When it was ready for its first test: where nobody told, when that began."""
    idle: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """For how many seconds it then had no test, by what it waited for, see :data:`idle_times.REASONS`."""
    ended: str | None = None
    exit: str | None = None
