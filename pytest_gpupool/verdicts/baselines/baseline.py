"""The baseline: accepted values of metrics, by test and kind of device, and the text of the file that keeps them.

    {"format": "gpupool-baseline", "version": 1, "entries": [
    {"test":"test_a.py::test_b","metric":"accuracy","device":"NVIDIA H200","value":0.913,"n":1000,"run":"9f3c2a"}
    ]}

One short line per entry, sorted, so that people can review and merge it; a key that has nothing to say is left out.
Where a value comes from is told once, in the file of its run, whose id ends with what the line has of it: see
:mod:`cohort_files`.

Pure: standard library only, no clock, no files. ``baseline_file`` reads and writes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...metrics.metric import Number
from ...metrics.units import is_timed
from ...records.store import RUN_ID
from ...values.device import UNKNOWN
from ..chance.cohort import MOST, Measurement
from ..chance.statistics import spread_of
from .entries import FORMAT, KEYS, VERSION, encoded, read

Key = tuple[str, str, str]

_CPU = "CPU"
"""The kind of CPU slots of which the model is not known, as in baselines of older versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The accepted value of one metric of one test on one kind of device (see :func:`kind_of`).

    ``value`` is finite. ``n``, ``unit``, ``higher_is_better``, ``atol``, ``rtol`` and ``samples`` are as in a metric.
    ``commit``, ``dirty``, ``date`` (ISO 8601 in UTC), ``run`` and ``reason`` say where it comes from and why it was
    accepted; what is not known is an empty text. ``dirty`` says that the sources are known to have been changed after
    the commit: where git could not tell, it is false. ``items`` are the samples' ids; ``later`` are the runs that were
    found to be like it since, the latest last: these lie beside the file, see :mod:`cohort_files`.
    """

    test: str
    metric: str
    device: str
    value: Number
    n: int | None = None
    unit: str = ""
    higher_is_better: bool | None = None
    atol: Number | None = None
    rtol: Number | None = None
    commit: str = ""
    dirty: bool = False
    date: str = ""
    run: str = ""
    reason: str = ""
    samples: tuple[float, ...] | None = None
    items: tuple[str, ...] | None = None
    later: tuple[Measurement, ...] = ()

    @property
    def runs(self) -> tuple[Measurement, ...]:
        """The accepted runs: the one that this is the value of, and the latest of those since."""
        first = Measurement(value=self.value, n=self.n, samples=self.samples, items=self.items)
        return first, *self.later[-(MOST - 1) :]

    @property
    def spread(self) -> float | None:
        """The standard deviation that the value would have if it were measured again, None where that is not known."""
        return spread_of(self.value, self.n, self.samples)

    @property
    def key(self) -> Key:
        """What it is the one entry for: test, metric and kind of device."""
        return self.test, self.metric, self.device


@dataclass(frozen=True, slots=True)
class Baseline:
    """Entries, one for each test, metric and kind of device, and sorted by these.

    Raises:
        ValueError: two entries are for the same.
    """

    entries: tuple[Entry, ...] = ()
    _by_metric: Mapping[tuple[str, str], Mapping[str, Entry]] = field(init=False, repr=False, compare=False)
    _by_test: Mapping[str, Sequence[Entry]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.entries, key=lambda entry: entry.key))
        by_metric: dict[tuple[str, str], dict[str, Entry]] = {}
        for entry in ordered:
            by_device = by_metric.setdefault((entry.test, entry.metric), {})
            if by_device.setdefault(entry.device, entry) is not entry:
                raise ValueError(f"two entries for {entry.key}")
        object.__setattr__(self, "entries", ordered)
        by_test: dict[str, list[Entry]] = {}
        for entry in self.entries:
            by_test.setdefault(entry.test, []).append(entry)
        object.__setattr__(self, "_by_metric", by_metric)
        object.__setattr__(self, "_by_test", by_test)

    def get(self, test: str, metric: str, kind: str) -> Entry | None:
        """Return the entry of a metric on that kind of device, None where there is none.

        Where there is none for this model of CPU, it is one that names none, or, unless it is of a time or a rate, one
        of another model.
        """
        entries = self._by_metric.get((test, metric), {})
        found = entries.get(kind)
        if found is None and is_cpu(kind):
            others = (entry for device, entry in entries.items() if is_cpu(device))
            found = next((one for one in others if one.device == _CPU or not is_timed(one.unit)), None)
        return found

    def kinds(self, test: str, metric: str) -> tuple[str, ...]:
        """Return the kinds of device, sorted, for which a metric has an entry."""
        return tuple(self._by_metric.get((test, metric), ()))

    def metrics(self, test: str, kind: str) -> tuple[str, ...]:
        """Return the metrics of a test that have an entry for that kind of device."""
        known = dict.fromkeys(entry.metric for entry in self._by_test.get(test, ()))
        return tuple(metric for metric in known if self.get(test, metric, kind) is not None)

    def updated(self, new: Iterable[Entry]) -> Baseline:
        """Return it with these entries in place of those of the same test, metric and device; no other one changes.

        Of two new ones for the same the later one counts.
        """
        return Baseline(tuple({entry.key: entry for entry in (*self.entries, *new)}.values()))

    def without(self, keys: Collection[Key]) -> Baseline:
        """Return it without the entries of these keys."""
        return Baseline(tuple(entry for entry in self.entries if entry.key not in keys))

    def dump(self) -> str:
        """Return the text of its file, in which numbers keep their exact value.

        Raises:
            ValueError: a number is not finite.
        """
        return text_of(map(_line, self.entries))


def text_of(lines: Iterable[str]) -> str:
    """Return the text of a file of these lines, one for each entry."""
    *others, last = [*lines] or [""]
    found = "".join(f"{line}\n" if line.endswith(_THEIRS) else f"{line},\n" for line in others) + last
    head = f'{{"format": "{FORMAT}", "version": {VERSION}, "entries": ['
    return f"{head}\n{found}\n]}}\n" if found else f"{head}]}}\n"


_THEIRS = ">>>>>>> theirs"


def three_way(base: Baseline, ours: Baseline, theirs: Baseline) -> tuple[list[str], int]:
    """Return the lines that two sides make of a file that both have changed, and how many of them are in conflict.

    Each side may have added, changed and removed entries. Where both have changed the same one in different ways, both
    stand there, between the marks by which git shows that.
    """
    old, one, other = ({entry.key: _line(entry, whole=True) for entry in side.entries} for side in (base, ours, theirs))
    lines, conflicts, keys = [], 0, sorted({*one, *other})
    for key in keys:
        mine, yours = one.get(key), other.get(key)
        if mine != yours and old.get(key) not in (mine, yours):
            conflicts += 1
            comma = "" if key == keys[-1] else ","
            one_side, other_side = ("" if line is None else f"{line}{comma}\n" for line in (mine, yours))
            lines.append(f"<<<<<<< ours\n{one_side}=======\n{other_side}{_THEIRS}")
        elif (line := yours if mine == old.get(key) else mine) is not None:
            lines.append(line)
    return lines, conflicts


def parse(text: str) -> Baseline:
    """Read what :meth:`Baseline.dump` wrote, and people may have edited.

    Raises:
        BaselineProblem: it is not a baseline, or not a sound one.
    """
    return Baseline(tuple(map(_entry, read(text))))


def kind_of(names: Sequence[str]) -> str:
    """Return the kind of device that a test ran on, by the names of its devices.

    ``CPU`` for none and for CPU slots (see :func:`cpu_kind`), the name for one, ``2 × NVIDIA H200`` for several; where
    they differ, these sorted by name and joined by `` + ``.
    """
    if len(names) == 1:  # as most have
        return names[0] or "CPU"
    counts = sorted(Counter(names).items())
    return " + ".join(name if count == 1 or name == "CPU" else f"{count} × {name}" for name, count in counts) or "CPU"


def cpu_kind(model: str | None) -> str:
    """Return the kind of CPU slots by the processor's model, which is None where that is not known."""
    return _CPU if model is None else f"{_CPU} {model}"


def is_cpu(kind: str) -> bool:
    """Say whether a kind of device is a CPU, of whatever model."""
    return kind == _CPU or kind.startswith(f"{_CPU} ")


def kind_in(test: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    """Return the kind of device that a test of a report ran on, None where that is not known.

    The test may say it itself; else the names of its devices, by their ids, tell it.
    """
    told: str | None = test.get("device_kind")
    return told or kind_by_id(test["devices"], names)


def kind_by_id(devices: Iterable[str], names: Mapping[str, str]) -> str | None:
    """Return the kind of these devices by the names of all, None where one of them has none, or an unknown one."""
    found = [names.get(device, "") for device in devices if not device.startswith("cpu:")]
    return None if any(name in ("", UNKNOWN) for name in found) else kind_of(found)


def _entry(data: Mapping[str, Any]) -> Entry:
    told = {key: value for key, value in data.items() if value is not None}
    told.pop("spread", None)  # as older versions wrote it
    if "samples" in told:
        told["samples"] = tuple(map(float, told["samples"]))
    return Entry(**told)


_PROVENANCE = ("commit", "dirty", "date", "reason")
_ELSEWHERE = frozenset({"spread", "samples"})


def _line(entry: Entry, *, whole: bool = False) -> str:
    """Return the line of an entry: what is to be reviewed of it; the ``whole`` is what an older version wrote, too."""
    data = {key: getattr(entry, key) for key in KEYS if key not in _ELSEWHERE}
    if entry.run and not whole:  # whose file tells the rest
        data = {key: value for key, value in data.items() if key not in _PROVENANCE}
        data["run"] = short_run(entry.run)
    elif not entry.dirty:
        del data["dirty"]
    # A direction that is false says something, and so does a tolerance of 0.
    return encoded({key: value for key, value in data.items() if value is not None and value != ""})


def short_run(run: str) -> str:
    """Return by what the line of an entry names a run: the end of its id, which is hardly ever that of another one."""
    return run.rpartition("-")[2] if RUN_ID.fullmatch(run) else run
