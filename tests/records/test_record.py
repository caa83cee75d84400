"""What a line of a journal may be, in which order journals are folded, and that no line makes a reader fail."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import SCHEMA

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.records import journal
from pytest_gpupool.records.folding.result import TestResult
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.records.record import in_order, is_sound
from pytest_gpupool.reports.json import build
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.texts import iso

Record = dict[str, Any]

METRIC: Record = {
    "name": "loss", "value": 0.5, "unit": "", "higher_is_better": None, "n": None, "atol": None, "rtol": None,
    "verdict": None,
}  # fmt: skip

RESULT: Record = {
    "params": {"case": 1}, "outcome": "passed", "attempt": 2, "worker": "gw0", "devices": ["GPU-0"], "started": iso(1),
    "ended": iso(2), "duration_s": 1.0, "phases": {"setup_s": None, "call_s": 1}, "metrics": [METRIC], "message": None,
    "torch_peak": None, "recipe": "a:b:c:d",
}  # fmt: skip

OF_TEST = {"worker": "gw0", "test": "t"}

GOOD: dict[str, Record] = {
    "journal": {"version": 1},
    "collected": {"worker": "gw0", "tests": [["t", {}], ["u[1]", {"case": 1}]]},
    "kept": {"test": "t", "run": "20261121T114652Z-9f3c2a", "result": RESULT},
    "worker": {
        "worker": "gw0", "host": "node1", "pid": 4711, "devices": ["GPU-0"], "lease_wait_s": 0.5, "started": iso(0),
    },
    "start": {**OF_TEST, "devices": ["GPU-0"], "started": iso(1), "attempt": 1, "recipe": "a:b:c:d"},
    "metric": {**OF_TEST, "metric": METRIC},
    "end": {
        **OF_TEST, "outcome": "passed", "phases": {"setup_s": 0, "call_s": 1.0, "teardown_s": None}, "duration_s": 1.0,
        "ended": iso(2), "message": None, "torch_peak": 7,
    },
    "crash": {**OF_TEST, "started": iso(1), "ended": iso(2), "message": "worker gw0 died"},
    "timeout": {**OF_TEST, "started": iso(1), "ended": iso(2), "message": "this test took longer than 4 s"},
    "quarantined": {"device": "GPU-0", "reason": "is lost"},
    "worker-end": {"worker": "gw0", "ended": iso(3), "exit": "finished"},
    "replaces": {"worker": "gw2", "dead": "gw0"},
    "run-end": {"ended": iso(4), "exit_status": 0},
    "journal-problem": {"worker": "gw0", "text": "the disk is full"},
}  # fmt: skip
"""A sound record of each kind."""

NOT_TEXT: tuple[object, ...] = (None, 1, True, ["gw0"], {})
NOT_WHOLE: tuple[object, ...] = (None, True, "1", 1.0, [])
NOT_NUMBER: tuple[object, ...] = (None, True, "1", [])
NOT_TIME: tuple[object, ...] = (
    None,
    0,
    "",
    "soon",
    "2026-11-21T00:00:00",
    "2026-11-21T00:00:00+00:00",
    "2026-13-21T00:00:00Z",
    [],
)
NOT_TEXTS: tuple[object, ...] = (None, "GPU-0", [1], [None], {"GPU-0": 1})
NOT_OUTCOME: tuple[object, ...] = (None, "fine", "", 1, [], {})
NOT_SECONDS: tuple[object, ...] = (None, [], "1", {"call_s": "1"}, {"call_s": True}, {"call_s": []})

BAD: dict[str, dict[str, tuple[object, ...]]] = {
    "journal": {"version": NOT_WHOLE},
    "collected": {
        "worker": NOT_TEXT,
        "tests": (None, {}, ["t"], [["t"]], [["t", None]], [[1, {}]], [["t", {}, 1]], [{}]),
    },
    "kept": {
        "test": NOT_TEXT,
        "run": NOT_TEXT,
        "result": (
            None, [], {}, *({**RESULT, key: []} for key in ("params", "outcome", "attempt", "message")),
            {**RESULT, "metrics": [METRIC, METRIC]},
        ),
    },
    "worker": {
        "worker": NOT_TEXT, "host": NOT_TEXT, "pid": NOT_WHOLE, "devices": NOT_TEXTS, "lease_wait_s": NOT_NUMBER,
        "started": NOT_TIME,
    },
    "start": {
        "worker": NOT_TEXT, "test": NOT_TEXT, "devices": NOT_TEXTS, "started": NOT_TIME, "recipe": (1, []),
        "device_kind": (1, []),
    },
    "metric": {
        "worker": NOT_TEXT,
        "test": NOT_TEXT,
        "metric": (
            None, [], {}, {"value": 1}, {**METRIC, "name": None}, {**METRIC, "value": "1"}, {**METRIC, "value": True},
            {**METRIC, "unit": None}, {**METRIC, "n": 1.5}, {**METRIC, "verdict": 1}, {**METRIC, "atol": "0"},
            {**METRIC, "higher_is_better": 1}, {**METRIC, "samples": [10**400]}, {**METRIC, "n": 3, "samples": [1, 2]},
            {**METRIC, "n": 1, "samples": []},
        ),
    },
    "end": {
        "worker": NOT_TEXT, "test": NOT_TEXT, "outcome": NOT_OUTCOME, "phases": NOT_SECONDS, "duration_s": NOT_NUMBER,
        "ended": NOT_TIME, "message": (1, []), "torch_peak": (1.5, "1"),
    },
    "crash": {
        "worker": NOT_TEXT, "test": NOT_TEXT, "ended": NOT_TIME, "message": NOT_TEXT, "started": NOT_TIME[1:],
    },
    "timeout": {
        "worker": NOT_TEXT, "test": NOT_TEXT, "ended": NOT_TIME, "message": NOT_TEXT, "started": NOT_TIME[1:],
    },
    "quarantined": {"device": NOT_TEXT, "reason": NOT_TEXT},
    "worker-end": {"worker": NOT_TEXT, "ended": NOT_TIME, "exit": NOT_TEXT},
    "replaces": {"worker": NOT_TEXT, "dead": NOT_TEXT},
    "run-end": {"ended": NOT_TIME, "exit_status": NOT_WHOLE},
    "journal-problem": {"worker": NOT_TEXT, "text": NOT_TEXT},
}  # fmt: skip
"""What makes a record of each kind unsound, by key."""

wrong = [(kind, key, value) for kind, keys in BAD.items() for key, values in keys.items() for value in values]


def record(kind: str, **changes: Any) -> Record:
    """The good record of a kind, with changes."""
    return {"record": kind, **copy.deepcopy(GOOD[kind]), **changes}


class TestSound:
    """A record has what its kind needs, each of the right type."""

    @pytest.mark.parametrize("kind", GOOD)
    def test_a_good_record(self, kind: str) -> None:
        """Also with what a newer version adds to it."""
        assert is_sound(record(kind))
        assert is_sound(record(kind, watts=[1, None]))

    @pytest.mark.parametrize(
        ("kind", "key", "value"), wrong, ids=[f"{k}-{key}-{value}"[:60] for k, key, value in wrong]
    )
    def test_a_wrong_value(self, kind: str, key: str, value: object) -> None:
        """One is enough."""
        assert not is_sound(record(kind, **{key: value}))

    @pytest.mark.parametrize(
        ("kind", "key"), [(kind, key) for kind, keys in BAD.items() for key, values in keys.items() if None in values]
    )
    def test_what_must_be_there_is_missing(self, kind: str, key: str) -> None:
        """As in a line of an older or a damaged journal."""
        whole = record(kind)
        del whole[key]
        assert not is_sound(whole)

    @pytest.mark.parametrize(
        "value",
        [None, 1, "start", [], ["record", "start"], {}, {"record": None}, {"record": 1}, {"record": ["start"]}],
        ids=repr,
    )
    def test_what_is_no_record_at_all(self, value: object) -> None:
        """A line of JSON is not yet a record."""
        assert not is_sound(value)

    def test_a_kind_that_is_not_known_here(self) -> None:
        """It is left for a newer version, and not counted as damage."""
        assert is_sound({"record": "energy", "worker": 7, "started": None})

    @pytest.mark.parametrize(
        "sound",
        [
            record("start", recipe=None),
            record("crash", started=None),
            record("end", torch_peak=None, message="E   assert 0"),
            record("metric", metric={**METRIC, "value": None, "non_finite": "nan", "verdict": "invalid"}),
            record("kept", result={**RESULT, "worker": None, "started": None, "ended": None, "duration_s": None}),
        ],
        ids=["recipe", "started", "message", "nan", "never began"],
    )
    def test_what_may_be_unknown(self, sound: Record) -> None:
        """It is null then."""
        assert is_sound(sound)


def attempt(test: str, at: float, worker: str, *last: Record) -> list[Record]:
    """An attempt at a test, as its worker's journal has it."""
    of_test = {"worker": worker, "test": test}
    return [record("start", **of_test, started=iso(at)), *({**one, **of_test} for one in last)]


CRASHED = attempt("t", 10, "gw0", record("metric"))
CRASH = record("crash", test="t", worker="gw0", started=iso(10), ended=iso(12))
PASSED = attempt("t", 20, "gw1", record("end", ended=iso(21)))
COLLECTED = record("collected", tests=[["t", {"case": 1}]])


def folded(*journals: Sequence[Record]) -> TestResult:
    """The result of the one test in these journals."""
    results = Results()
    results.add_all(in_order(journals))
    (test,) = results.tests
    return test


class TestOrder:
    """Each journal is in the order of its own writer alone."""

    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_a_test_that_crashed_here_and_passed_there(self, order: Sequence[int]) -> None:
        """Whatever the order of the journals, it has passed in its second attempt: the crash was of the first."""
        journals = [[COLLECTED, CRASH], CRASHED, PASSED]
        test = folded(*(journals[number] for number in order))
        assert (test.outcome, test.attempt, test.worker, test.message) == ("passed", 2, "gw1", None)
        assert (test.params, test.metrics) == ({"case": 1}, {})

    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_a_test_that_failed_there_and_then_crashed_here(self, order: Sequence[int]) -> None:
        """The later attempt is the one on the worker with the lower number."""
        later = attempt("t", 30, "gw0", record("metric"))
        crash = record("crash", started=iso(30), ended=iso(32))
        journals = [[COLLECTED, crash], later, PASSED]
        test = folded(*(journals[number] for number in order))
        assert (test.outcome, test.attempt, test.worker, test.message) == ("crashed", 2, "gw0", "worker gw0 died")
        assert list(test.metrics) == ["loss"]

    @pytest.mark.parametrize("journals", [[[COLLECTED], CRASHED], [CRASHED, [COLLECTED]]])
    def test_an_attempt_that_was_cut_off_is_not_run(self, journals: Sequence[Sequence[Record]]) -> None:
        """Nobody was left to say that it crashed; what it had recorded is there."""
        test = folded(*journals)
        assert (test.outcome, test.attempt, list(test.metrics)) == ("not-run", 1, ["loss"])

    def test_a_second_attempt_that_was_cut_off_is_not_run(self) -> None:
        """The crash of the first one says nothing of it."""
        test = folded([COLLECTED, CRASH], CRASHED, PASSED[:1])
        assert (test.outcome, test.attempt, test.worker) == ("not-run", 2, "gw1")

    def test_a_crash_of_which_the_attempt_is_not_known_counts(self) -> None:
        """As where the worker's journal could not be kept."""
        test = folded([COLLECTED, record("crash", started=None)], [])
        assert (test.outcome, test.attempt) == ("crashed", 1)

    def test_attempts_within_one_journal(self) -> None:
        """A rerun on the same worker: what was said stays with its own attempt; so it does where one measures again."""
        said = [
            (
                record("metric", metric={**METRIC, "name": name}),
                {"record": "items", "items": {"file": f"items/{name}.jsonl", "count": 1, "scores": {}}},
                {"record": "facts", "facts": {name: "said"}},
                {"record": "attached", "attachment": {"path": f"attachments/{name}.txt", "name": name, "bytes": 1}},
                record("end"),
            )
            for name in ("first", "second")
        ]
        first = attempt("t", 1, "gw0", *said[0])
        again, *rest = attempt("t", 5, "gw0", *said[1])
        for test, name in (
            (folded([*first, again, *rest], [COLLECTED]), "second"),
            (folded([*first, {**again, "confirms": True}, *rest], [COLLECTED]), "first"),
        ):
            assert test.attempt == (2 if name == "second" else 1)
            assert (list(test.metrics), test.items["file"]) == ([name], f"items/{name}.jsonl")
            assert (list(test.facts), [one["name"] for one in test.attachments]) == ([name], [name])

    def test_attempts_within_one_journal_on_a_clock_that_was_set_back(self) -> None:
        """The last one in the file is the last one."""
        first = attempt("t", 10, "gw0", record("end", outcome="failed"))
        test = folded([*first, *attempt("t", 5, "gw0", record("end"))], [COLLECTED])
        assert (test.outcome, test.attempt) == ("passed", 2)

    def test_what_an_earlier_run_kept_gives_way_to_what_ran(self) -> None:
        """Whichever journal comes first."""
        kept = record("kept", result={**RESULT, "outcome": "failed"})
        assert [folded(*pair).outcome for pair in ([[kept], PASSED], [PASSED, [kept]])] == ["passed", "passed"]

    def test_tests_are_in_the_order_of_collection(self) -> None:
        """A worker's journal may come before the controller's."""
        results = Results()
        results.add_all(in_order([PASSED, [record("collected", tests=[["a", {}], ["t", {}], ["b", {}]])]]))
        assert [test.nodeid for test in results.tests] == ["a", "t", "b"]


FACTS: Record = {
    "id": "20261121T114652Z-9f3c2a", "started": iso(0), "duration_s": 1.0, "exit_status": None, "command": "pytest",
    "rootdir": "/", "git": None, "host": {"name": "n", "platform": "p", "cpu_count": 1, "memory_bytes": 1},
    "software": dict.fromkeys(("python", "pytest", "pytest_xdist", "pytest_gpupool", "torch", "driver")),
}  # fmt: skip

GPU = Device(id="GPU-0", kind="gpu", index=0, name="NVIDIA H200", memory_total=100)


def reported(path: Path, records: Sequence[object], devices: tuple[Device, ...] = (), *, each: bool = False) -> Record:
    """The report of a journal of these lines; fails where it is not what the schema says, or no strict JSON."""
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    results = Results(each=each)
    results.add_all(in_order([journal.read(path)]))
    report = build(FACTS, Pool(devices=devices), results)
    SCHEMA.validate(report)
    json.dumps(report, allow_nan=False)
    return report


def without(kind: str, key: str) -> Record:
    """The good record of a kind, without a key."""
    return {name: value for name, value in record(kind).items() if name != key}


ODD: dict[str, Record] = {
    "a GPU's worker": record("worker"),
    "a name that is no device's": record("worker", devices=["cpu:x"]),
    "a device of another kind": record("worker", devices=["TPU-0"]),
    "a negative slot": record("worker", devices=["cpu:-3"]),
    "a negative wait": record("worker", lease_wait_s=-1),
    "a test without a name": record("collected", tests=[["", {}]]),
    "a parameter that is NaN": record("collected", tests=[["t", {"case": float("nan")}]]),
    "no message": without("end", "message"),
    "NaN seconds": record("end", duration_s=float("nan")),
    "infinite seconds": record("end", duration_s=float("inf")),
    "negative seconds": record("end", duration_s=-1),
    "more seconds than a float": record("end", duration_s=10**400),
    "a negative phase": record("end", phases={"call_s": -1}),
    "a negative peak": record("end", torch_peak=-1),
    "an end before the start": record("end", ended=iso(-86400)),
    "a time as ISO weeks": record("start", started="2026-W47-6T00:00:00Z"),
    "a short time": record("start", started="20261121T00Z"),
    "an exit of another version": record("worker-end", exit="bored"),
    "a metric without a name": record("metric", metric={**METRIC, "name": ""}),
    "a metric of NaN": record("metric", metric={**METRIC, "value": float("nan")}),
    "a metric without n": record("metric", metric={key: METRIC[key] for key in METRIC if key != "n"}),
    "n of nothing": record("metric", metric={**METRIC, "n": 0}),
    "a negative tolerance": record("metric", metric={**METRIC, "atol": -1}),
    "a verdict of another version": record("metric", metric={**METRIC, "verdict": "great"}),
    "no value, no reason": record("metric", metric={**METRIC, "value": None}),
    "a value and a reason": record("metric", metric={**METRIC, "non_finite": "nan"}),
    "an empty reason": record("metric", metric={**METRIC, "non_finite": None}),
    "a kept result without a recipe": record("kept", result={key: RESULT[key] for key in RESULT if key != "recipe"}),
    "a kept result of negative seconds": record("kept", result={**RESULT, "duration_s": -1}),
}
"""What no run of today writes, or none that is well."""


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_record_is_refused_or_reported(tmp_path: Path, odd: Record) -> None:
    """It may be unsound; where it is not, the report of a run that has it is as valid as any."""
    before = [] if odd["record"] == "start" else [record("start")]
    reported(tmp_path / "gw0.jsonl", [*before, odd, *([record("end")] if odd["record"] == "start" else [])])


values = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 0.5, 10**400, float("nan"), float("inf"), "", "t", "gw1", "passed", "nan"]),
    st.sampled_from(["GPU-1", "cpu:1", "cpu:", "main", iso(5), "2026-11-21T00Z", "0001-01-01T00:00:00Z", [], {}]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
)
"""What a key may have that nobody meant: any JSON, and the likely ones."""


@st.composite
def near_records(draw: st.DrawFn) -> Record:
    """A record of a known kind, some of whose keys, or of those within, are changed or missing."""
    whole = record(draw(st.sampled_from(sorted(GOOD))), worker=draw(st.sampled_from(["gw0", "gw1"])))
    for _ in range(draw(st.integers(0, 2))):
        inner: list[Record] = [value for value in whole.values() if isinstance(value, dict) and value]
        at = draw(st.sampled_from([whole, *inner]))
        key = draw(st.sampled_from(sorted(set(at) - {"record"})))
        if draw(st.integers(0, 3)):
            at[key] = draw(values)
        else:
            del at[key]
    return whole


@given(records=st.lists(near_records(), max_size=6), devices=st.sampled_from([(), (GPU,)]), each=st.booleans())
def test_whatever_is_sound_is_reported(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], devices: tuple[Device, ...], each: bool
) -> None:
    """No record that passes for sound makes the fold or the report fail, or the report invalid."""
    reported(tmp_path_factory.getbasetemp() / "near.jsonl", records, devices, each=each)


class TestLines:
    """A line is a sound record or nothing."""

    def read(self, folder: pytest.TempPathFactory, data: bytes) -> list[Record | None]:
        """What a journal of these bytes has."""
        path: Path = folder.getbasetemp() / "fuzz.jsonl"
        path.write_bytes(data)
        found = list(journal.lines(path))
        assert all(one is None or is_sound(one) for one in found)
        assert list(journal.read(path)) == [one for one in found if one is not None and one["record"] != "journal"]
        return found

    @given(value=st.one_of(values, near_records()))
    @example(value={"record": "\ud800"})
    def test_any_json(self, tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
        """Whatever it is, it is one line, and read as what it is."""
        (found,) = self.read(tmp_path_factory, json.dumps(value).encode())
        assert (found is not None) == is_sound(value)

    @given(data=st.lists(st.binary(), max_size=4))
    @example(data=[b"9" * 5000])
    @example(data=[b"[" * 100_000])
    @example(data=[b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'{"record": "\\ud800"}'])
    def test_any_bytes(self, tmp_path_factory: pytest.TempPathFactory, data: list[bytes]) -> None:
        """Those of a whole record between them are found."""
        whole = json.dumps(record("end")).encode()
        found = self.read(tmp_path_factory, b"\n".join([*data, whole, *data]))
        assert record("end") in found
