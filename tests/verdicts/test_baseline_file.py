"""The baseline file: what is written is read exactly, and whatever else is in it is refused by line and key."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.verdicts.baselines import baseline_file
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry, Key, kind_of, parse, short_run
from pytest_gpupool.verdicts.baselines.baseline_file import load, save, update
from pytest_gpupool.verdicts.baselines.cohort_files import Addition
from pytest_gpupool.verdicts.baselines.entries import KEYS, BaselineProblem

H200, A100 = "NVIDIA H200", "NVIDIA A100"
TEST = "test_a.py::test_mmlu[llama-8]"

FULL = Entry(
    test=TEST,
    metric="accuracy",
    device=H200,
    value=0.913,
    n=4,
    unit="%",
    higher_is_better=True,
    atol=0.01,
    rtol=0.0,
    commit="4f2a",
    dirty=True,
    date="2026-11-21T10:00:00Z",
    run="20261121T100000Z-9f3c2a",
    reason="the new tokenizer",
    samples=(1.0, 0.0, 0.5, math.inf),
)
BARE = replace(FULL, samples=None)
FEW = Entry(test=TEST, metric="loss", device="CPU", value=2, higher_is_better=False)

HEAD = '{"format": "gpupool-baseline", "version": 1, "entries": [\n'
LINES = [
    f'{{"test": "{TEST}", "metric": "accuracy", "device": "NVIDIA H200", "value": 0.913, "n": 4, "spread": 0.0089, '
    '"unit": "%", "higher_is_better": true, "atol": 0.01, "rtol": 0.0, "commit": "4f2a", "dirty": true, '
    '"date": "2026-11-21T10:00:00Z", "run": "20261121T100000Z-9f3c2a", "reason": "the new tokenizer", '
    '"samples": [1, 0, 0.5, "inf"]}',
    f'{{"test": "{TEST}", "metric": "loss", "device": "CPU", "value": 2, "higher_is_better": false}}',
]
"""As an older version wrote them."""
NEW_LINES = [
    f'{{"test":"{TEST}","metric":"accuracy","device":"NVIDIA H200","value":0.913,"n":4,'
    '"unit":"%","higher_is_better":true,"atol":0.01,"rtol":0.0,"run":"9f3c2a"}',
    f'{{"test":"{TEST}","metric":"loss","device":"CPU","value":2,"higher_is_better":false}}',
]


def text_of(*lines: str) -> str:
    """The text of a file of these lines."""
    return HEAD + ",\n".join(lines) + "\n]}\n"


def reviewed(entry: Entry) -> Entry:
    """What the file alone has of an entry: where it comes from is told in the file of its run, which may be lost."""
    if not entry.run:
        return replace(entry, samples=None)
    return replace(entry, samples=None, run=short_run(entry.run), commit="", dirty=False, date="", reason="")


def line(**fields: Any) -> str:
    """An entry's line, with some keys changed."""
    return json.dumps({"test": "t", "metric": "m", "device": "CPU", "value": 1, **fields})


def entry(test: str = "t", metric: str = "m", device: str = "CPU", value: float = 1, **fields: Any) -> Entry:
    return Entry(test=test, metric=metric, device=device, value=value, **fields)


def refused(text: str) -> str:
    """What is said of a text."""
    with pytest.raises(BaselineProblem) as raised:
        parse(text)
    return str(raised.value)


def is_sayable(name: str) -> bool:
    """Two surrogates that make one character are that character in every JSON."""
    return name.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") == name


TEXTS = st.text(st.characters(exclude_categories=()), max_size=8).filter(is_sayable)
NAMES = TEXTS.filter(bool)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(10**4299)
AMOUNTS = st.none() | st.integers(0) | st.floats(0, allow_infinity=False)
ENTRIES = st.builds(
    Entry,
    test=NAMES,
    metric=NAMES,
    device=NAMES,
    value=NUMBERS,
    n=st.none() | st.integers(1),
    unit=TEXTS,
    higher_is_better=st.none() | st.booleans(),
    atol=AMOUNTS,
    rtol=AMOUNTS,
    commit=TEXTS,
    dirty=st.booleans(),
    date=TEXTS,
    run=TEXTS,
    reason=TEXTS,
    samples=st.none() | st.lists(st.floats(allow_nan=False), max_size=4).map(tuple),
).map(lambda entry: entry if entry.samples is None else replace(entry, n=len(entry.samples) or None))


class TestText:
    """What the file looks like."""

    def test_one_line_per_entry(self) -> None:
        """Sorted by test, metric and device; what says nothing is left out, which no 0 and no false direction does."""
        assert Baseline((FEW, FULL)).dump() == text_of(*NEW_LINES)
        assert all(len(line) < 200 for line in NEW_LINES)

    def test_it_is_read_again(self) -> None:
        """As it was."""
        assert parse(text_of(*LINES)) == Baseline((FULL, FEW))

    def test_an_empty_one(self) -> None:
        """It is JSON, and a baseline."""
        text = Baseline().dump()
        assert text == '{"format": "gpupool-baseline", "version": 1, "entries": []}\n'
        assert parse(text) == Baseline()

    @given(st.lists(ENTRIES, max_size=4, unique_by=lambda entry: entry.key))
    @example([entry('tést["a\n\x85\u2028"]\udc80', "\ud800", "2 × H200")])
    def test_whatever_is_written_is_read(self, entries: list[Entry]) -> None:
        """Any names, any numbers, exactly; one line each, in UTF-8."""
        baseline = Baseline(tuple(entries))
        text = baseline.dump()
        again = parse(text.encode().decode())
        assert again == Baseline(tuple(map(reviewed, entries)))
        assert [type(one.value) for one in again.entries] == [type(one.value) for one in baseline.entries]
        assert again.dump() == text
        assert len(text.splitlines()) == (len(entries) + 2 if entries else 1)

    def test_samples_that_are_no_numbers(self) -> None:
        """JSON has no NaN; its name stands for it."""
        assert repr(parse(text_of(line(samples=["nan", "-inf"]))).entries[0].samples) == "(nan, -inf)"

    @pytest.mark.parametrize("fields", [{"value": math.nan}, {"value": math.inf}, {"atol": math.nan}])
    def test_a_number_that_json_does_not_have_is_not_written(self, fields: dict[str, float]) -> None:
        """No reader would take it."""
        with pytest.raises(ValueError, match="not JSON compliant"):
            Baseline((replace(FULL, **fields),)).dump()  # type: ignore[arg-type]


class TestByHand:
    """People edit the file with all kinds of editors."""

    @pytest.mark.parametrize(
        "text",
        [
            "\ufeff" + text_of(*LINES),
            text_of(*LINES).replace("\n", "\r\n"),
            text_of(*reversed(LINES)),
            json.dumps(json.loads(text_of(*LINES)), indent=4),
            json.dumps(json.loads(text_of(*LINES)), separators=(",", ":")),
            text_of(*LINES).replace('"value": 2', '"value": 2, "n": null, "unit": "", "dirty": false, "samples": null'),
        ],
        ids=["byte order mark", "CRLF", "unsorted", "indented", "one line", "nulls"],
    )
    def test_layout_does_not_matter(self, text: str) -> None:
        """Nor does what says nothing."""
        assert parse(text) == Baseline((FULL, FEW))


WRONG = {
    "empty text": ({"test": ""}, '"test" must be a text that is not empty, not ""'),
    "a number for a text": ({"metric": 5}, '"metric" must be a text that is not empty, not 5'),
    "null": ({"device": None}, '"device" must be a text that is not empty, not null'),
    "text for a number": ({"value": "0.9"}, '"value" must be a finite number, not "0.9"'),
    "null value": ({"value": None}, '"value" must be a finite number, not null'),
    "bool": ({"value": True}, '"value" must be a finite number, not true'),
    "nan": ({"value": math.nan}, '"value" must be a finite number, not NaN'),
    "inf": ({"value": -math.inf}, '"value" must be a finite number, not -Infinity'),
    "n of 0": ({"n": 0}, '"n" must be a whole number from 1, not 0'),
    "n of a half": ({"n": 10.5}, '"n" must be a whole number from 1, not 10.5'),
    "n true": ({"n": True}, '"n" must be a whole number from 1, not true'),
    "negative": ({"atol": -0.1}, '"atol" must be a number from 0, not -0.1'),
    "nan spread": ({"spread": math.nan}, '"spread" must be a number from 0, not NaN'),
    "percent": ({"rtol": "1%"}, '"rtol" must be a number from 0, not "1%"'),
    "unit": ({"unit": 1}, '"unit" must be a text, not 1'),
    "direction": ({"higher_is_better": "yes"}, '"higher_is_better" must be true or false, not "yes"'),
    "flag": ({"dirty": 1}, '"dirty" must be true or false, not 1'),
    "no list": ({"samples": 1}, '"samples" must be a list of numbers, "nan", "inf" or "-inf", not 1'),
    "sample": ({"samples": [1, "x"]}, '"samples" must be a list of numbers, "nan", "inf" or "-inf", not one with "x"'),
    "large": (
        {"samples": [10**400]},
        '"samples" must be a list of numbers, "nan", "inf" or "-inf", not one with ' + "1" + 57 * "0" + "…0",
    ),
    "n of others": (
        {"n": 10, "samples": [1, 2, 3]},
        '"n" is 10, but it has 3 samples: correct "n", or leave out "samples"',
    ),
    "misspelt": ({"a_tol": 0.1}, f'it has the key "a_tol", which is none of {", ".join(KEYS)}'),
    "a long text": ({"value": "x" * 100}, f'"value" must be a finite number, not "{"x" * 57}…"'),
}


class TestWrongEntries:
    """What is wrong is said by line, test, metric and key."""

    @pytest.mark.parametrize(("fields", "expected"), WRONG.values(), ids=WRONG)
    def test_a_value(self, fields: dict[str, Any], expected: str) -> None:
        """And what it must be."""
        told = refused(text_of(LINES[0], line(**fields)))
        assert told.startswith("line 3 (")
        assert told.endswith(f": {expected}")

    @pytest.mark.parametrize("key", ["test", "metric", "device", "value"])
    def test_a_missing_key(self, key: str) -> None:
        """Only four must be there."""
        data = json.loads(line())
        del data[key]
        assert f': it has no "{key}", which must be a ' in refused(text_of(json.dumps(data)))

    def test_it_says_whose_it_is(self) -> None:
        """Names are shown so that a terminal can bear them."""
        assert refused(text_of(line(test="tést[\x1b[31m]\x85", value="x"))) == (
            'line 2 (tést[\\u001b[31m]\\u0085, m): "value" must be a finite number, not "x"'
        )
        assert refused(text_of("[1]")).endswith("entry 1: it must be an object, not [1]")

    def test_everything_is_said_at_once(self) -> None:
        """Up to five lines."""
        lines = [line(test=f"t{number}", value=None, n=0) for number in range(4)]
        assert refused(text_of(*lines)).splitlines() == [
            'line 2 (t0, m): "value" must be a finite number, not null',
            'line 2 (t0, m): "n" must be a whole number from 1, not 0',
            'line 3 (t1, m): "value" must be a finite number, not null',
            'line 3 (t1, m): "n" must be a whole number from 1, not 0',
            'line 4 (t2, m): "value" must be a finite number, not null',
            "… and 3 more",
        ]

    def test_entries_are_counted_where_lines_are_not_theirs(self) -> None:
        """As where an editor has laid out the file anew."""
        text = json.dumps(json.loads(text_of(LINES[0], line(n=0))), indent=1)
        assert refused(text) == 'entry 2 (t, m): "n" must be a whole number from 1, not 0'

    def test_two_for_the_same(self) -> None:
        """As a merge of two branches may leave them; other devices are not the same."""
        text = text_of(line(), line(device=H200), line(value=2))
        assert refused(text) == ("line 4 (t, m): line 2 is for the same test, metric and device: keep one of them")


DAMAGED = {
    "nothing": ("", "it is empty: delete it, and a new one can be made"),
    "white space": (" \n", "it is empty: delete it, and a new one can be made"),
    "words": ("hello", "line 1 is not JSON: Expecting value"),
    "cut off": (text_of(*LINES)[:-4], "line 3 is not JSON: Expecting ',' delimiter"),
    "a comma too many": (text_of(*LINES, ""), "line "),
    "a comma too few": (text_of(*LINES).replace("},\n", "}\n"), "line 3 is not JSON: Expecting ',' delimiter"),
    "digits": (text_of(line()).replace(": 1}", f": {'1' * 5000}}}"), "a number in it has too many digits"),
    "depth": ("[" * 100_000, "it is nested too deeply"),
    "half merged": (
        HEAD + f"<<<<<<< HEAD\n{LINES[0]}\n=======\n{LINES[1]}\n>>>>>>> other\n]}}\n",
        "line 2 is a conflict marker of git: finish the merge",
    ),
    "a list": ("[]", 'it is not a gpupool baseline, which begins with {"format": "gpupool-baseline"'),
    "another file": ('{"format": "gpupool-durations", "version": 1, "tests": {}}', "it is not a gpupool baseline"),
    "a report": ('{"report_format": "gpupool-report"}', "it is not a gpupool baseline"),
    "no version": (
        '{"format": "gpupool-baseline", "entries": []}',
        'its "version" must be a whole number from 1, not null',
    ),
    "version 0": ('{"format": "gpupool-baseline", "version": 0}', 'its "version" must be a whole number from 1, not 0'),
    "version 1.0": ('{"format": "gpupool-baseline", "version": 1.0}', 'its "version" must be a whole number from 1'),
    "version true": ('{"format": "gpupool-baseline", "version": true}', 'its "version" must be a whole number from 1'),
    "newer": (
        '{"format": "gpupool-baseline", "version": 2, "shards": []}',
        "it is of version 2, written by a newer pytest-gpupool: update that",
    ),
    "no entries": ('{"format": "gpupool-baseline", "version": 1}', 'its "entries" must be a list'),
    "entries by name": ('{"format": "gpupool-baseline", "version": 1, "entries": {}}', 'its "entries" must be a list'),
    "another key": (
        '{"format": "gpupool-baseline", "version": 1, "entries": [], "rtol": 0.1}',
        'it has the key "rtol", which a baseline does not have',
    ),
    "a key twice": (
        text_of('{"test": "t", "metric": "m", "device": "CPU", "value": 1, "value": 2}'),
        'an object in it has the key "value" more than once: keep one of them',
    ),
}


class TestDamaged:
    """What is no baseline is refused."""

    @pytest.mark.parametrize(("text", "expected"), DAMAGED.values(), ids=DAMAGED)
    def test_a_text(self, text: str, expected: str) -> None:
        """With the reason, and the line where there is one."""
        assert refused(text).startswith(expected)

    @given(st.text(max_size=30))
    @example("\ufeff")
    @example('{"format": []}')
    def test_any_text(self, text: str) -> None:
        """There is a reason, and no other error."""
        assert refused(text)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=2),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "more"]), inner, max_size=8)
            ),
            max_leaves=25,
        )
    )
    def test_any_values(self, entries: object) -> None:
        """A sound baseline or a reason."""
        text = json.dumps({"format": "gpupool-baseline", "version": 1, "entries": entries})
        with contextlib.suppress(BaselineProblem):
            assert parse(parse(text).dump()) == Baseline(tuple(map(reviewed, parse(text).entries)))

    @given(st.data())
    def test_any_damage(self, data: st.DataObject) -> None:
        """Of the text of a sound one."""
        text = text_of(*LINES)
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        with contextlib.suppress(BaselineProblem):
            parse(text[:start] + data.draw(st.text('{}[]",:\n0e-', max_size=4)) + text[end:]).dump()


class TestEntries:
    """Looking up and replacing."""

    BASELINE = Baseline((entry("b"), entry("a", device=H200), entry("a", device=A100, value=2), entry("a", "n")))

    def test_by_test_metric_and_kind(self) -> None:
        """None where one of them is another."""
        assert self.BASELINE.get("a", "m", A100) == entry("a", device=A100, value=2)
        assert self.BASELINE.get("a", "m", "CPU") is None
        assert self.BASELINE.get("a", "x", A100) is None
        assert self.BASELINE.get("x", "m", A100) is None

    def test_the_kinds_that_have_one(self) -> None:
        """Sorted."""
        assert self.BASELINE.kinds("a", "m") == (A100, H200)
        assert self.BASELINE.kinds("a", "x") == ()

    def test_an_update_replaces_its_own(self) -> None:
        """And adds what is new; the later of two counts; no other entry changes, and the old baseline does not."""
        updated = self.BASELINE.updated([entry("a", device=H200, value=5), entry("c"), entry("c", value=6)])
        assert [(one.test, one.device, one.value) for one in updated.entries] == [
            ("a", A100, 2),
            ("a", H200, 5),
            ("a", "CPU", 1),
            ("b", "CPU", 1),
            ("c", "CPU", 6),
        ]
        assert self.BASELINE.get("a", "m", H200) == entry("a", device=H200)

    @settings(max_examples=30)
    @given(st.lists(ENTRIES, max_size=4), st.lists(ENTRIES, max_size=4))
    def test_others_stay_byte_by_byte(self, old: list[Entry], new: list[Entry]) -> None:
        """The lines that are not updated are the same."""
        before = Baseline().updated(old)
        lines = {one.key: Baseline((one,)).dump() for one in before.entries}
        for one in before.updated(new).entries:
            assert one.key in {other.key for other in new} or Baseline((one,)).dump() == lines[one.key]

    def test_two_for_the_same_are_a_mistake(self) -> None:
        """Of whoever makes it."""
        with pytest.raises(ValueError, match="two entries for"):
            Baseline((entry(), entry(value=2)))

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ([], "CPU"),
            (["CPU"], "CPU"),
            (["CPU", "CPU"], "CPU"),
            ([H200], "NVIDIA H200"),
            ([H200, H200], "2 × NVIDIA H200"),
            ([H200, A100], "NVIDIA A100 + NVIDIA H200"),
            ([H200, A100, H200], "NVIDIA A100 + 2 × NVIDIA H200"),
            (["NVIDIA H200 MIG 1g.18gb"], "NVIDIA H200 MIG 1g.18gb"),
        ],
    )
    def test_the_kind_of_a_device(self, names: list[str], expected: str) -> None:
        """By its name; several by their number."""
        assert kind_of(names) == expected


@dataclass(frozen=True)
class Changed:
    """What an update is told to write."""

    entries: tuple[Entry, ...]
    additions: tuple[Addition, ...] = ()
    removed: tuple[Key, ...] = ()


def problem_of(path: Path) -> str:
    """What is said of a file that is read, which is the same as where it is updated."""
    with pytest.raises(UsageProblem) as raised:
        load(path)
    assert raised.value.exit_status == 4
    with pytest.raises(UsageProblem) as again:
        update(path, lambda _: Changed((BARE,)))
    assert str(again.value) == str(raised.value)
    return str(raised.value)


class TestLoad:
    """Reading the file."""

    def test_a_sound_one(self, tmp_path: Path) -> None:
        """As it was saved, its directories made."""
        path = tmp_path / "evals" / "baselines" / "h200.json"
        save(path, Baseline((FEW, FULL)))
        assert path.read_text(encoding="utf-8") == text_of(*NEW_LINES)
        assert load(path) == Baseline((reviewed(FULL), FEW))

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        """A lone surrogate, as in the name of a file that is not UTF-8."""
        baseline = Baseline((entry("t[\udcff]"), entry("tést")))
        save(tmp_path / "b.json", baseline)
        assert load(tmp_path / "b.json") == baseline

    @pytest.mark.parametrize("name", ["none.json", "none/none.json"])
    def test_a_missing_one(self, tmp_path: Path, name: str) -> None:
        """The message names the option that makes it."""
        with pytest.raises(UsageProblem) as raised:
            load(tmp_path / name)
        assert str(raised.value) == (
            f"the baseline file {tmp_path / name} is missing: make it with --gpupool-update-baseline, "
            "or give another one"
        )

    def test_a_directory(self, tmp_path: Path) -> None:
        """The message says so."""
        assert problem_of(tmp_path) == f"the baseline {tmp_path} is a directory: give the path of a file"

    def test_a_path_below_a_file(self, tmp_path: Path) -> None:
        """With the system's reason."""
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageProblem, match=r"cannot be read: Not a directory$"):
            load(tmp_path / "file" / "b.json")
        with pytest.raises(UsageProblem, match=r"cannot be written: (Not a directory|File exists)$"):
            update(tmp_path / "file" / "b.json", lambda _: Changed((BARE,)))

    def test_a_loop(self, tmp_path: Path) -> None:
        """Of symbolic links."""
        path = tmp_path / "b.json"
        path.symlink_to(path)
        assert problem_of(path).endswith("cannot be read: Too many levels of symbolic links")

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"\xff", "is damaged: byte 0 is not UTF-8"),
            (b"", "cannot be used: it is empty: delete it, and a new one can be made"),
            (b"{", "cannot be used: line 1 is not JSON: Expecting property name enclosed in double quotes"),
            (
                text_of(line(value=None, n=0)).encode(),
                "cannot be used:\n"
                '  line 2 (t, m): "value" must be a finite number, not null\n'
                '  line 2 (t, m): "n" must be a whole number from 1, not 0',
            ),
        ],
    )
    def test_a_damaged_one(self, tmp_path: Path, data: bytes, expected: str) -> None:
        """The message names it, and it stays as it is."""
        path = tmp_path / "b.json"
        path.write_bytes(data)
        assert problem_of(path) == f"the baseline file {path} {expected}"
        assert path.read_bytes() == data


class TestUpdate:
    """Writing entries into the file."""

    def test_what_is_in_it_now_counts(self, tmp_path: Path) -> None:
        """It is handed to who decides, and what that is comes back."""
        path = tmp_path / "b.json"
        save(path, Baseline((FEW,)))
        seen: list[Baseline] = []

        def change(baseline: Baseline) -> Changed:
            seen.append(baseline)
            return Changed((BARE,))

        assert update(path, change) == Changed((BARE,))
        assert seen == [Baseline((FEW,))]
        assert path.read_text(encoding="utf-8") == text_of(*NEW_LINES)

    @pytest.mark.parametrize("entries", [(), (reviewed(BARE),)])
    def test_a_missing_one_is_made(self, tmp_path: Path, entries: Sequence[Entry]) -> None:
        """With its directories; also where there is nothing to write, so that the next run finds it."""
        path = tmp_path / "evals" / "b.json"
        update(path, lambda _: Changed(tuple(entries)))
        assert load(path) == Baseline(tuple(entries))
        assert [one.name for one in path.parent.iterdir()] == ["b.json"]

    def test_one_that_stays_the_same_is_not_written(self, tmp_path: Path) -> None:
        """Whatever its layout is."""
        path = tmp_path / "b.json"
        path.write_text(json.dumps(json.loads(text_of(*NEW_LINES)), indent=4))
        before = path.read_text(), path.stat().st_mtime_ns, path.stat().st_ino
        update(path, lambda _: Changed((reviewed(BARE),)))
        assert (path.read_text(), path.stat().st_mtime_ns, path.stat().st_ino) == before

    def test_a_symlink_stays_one(self, tmp_path: Path) -> None:
        """Also one to a file that is not there yet."""
        path = tmp_path / "b.json"
        path.symlink_to(Path("shared") / "all.json")
        update(path, lambda _: Changed((BARE,)))
        assert path.is_symlink()
        assert load(tmp_path / "shared" / "all.json") == Baseline((reviewed(BARE),))

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The old file stays, with nothing beside it."""
        path = tmp_path / "b.json"
        save(path, Baseline((FEW,)))

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(UsageProblem) as raised:
            update(path, lambda _: Changed((BARE,)))
        assert str(raised.value) == f"the baseline file {path} cannot be written: No space left on device"
        assert load(path) == Baseline((FEW,))
        assert [one.name for one in tmp_path.iterdir()] == ["b.json"]

    def test_runs_that_end_together_all_count(self, tmp_path: Path) -> None:
        """Each adds its own entries to the others', and leaves nothing beside the file."""
        path = tmp_path / "b.json"
        source = """
import sys
from dataclasses import dataclass
from pathlib import Path
from pytest_gpupool.verdicts.baselines.baseline import Entry
from pytest_gpupool.verdicts.baselines.cohort_files import Addition
from pytest_gpupool.verdicts.baselines.baseline_file import update

@dataclass
class Changed:
    entries: tuple
    additions: tuple = ()
    removed: tuple = ()

for number in range(10):
    entry = Entry(test=f"{sys.argv[2]}-{number}", metric="m", device="CPU", value=1)
    update(Path(sys.argv[1]), lambda _: Changed((entry,)))
"""
        runs = [subprocess.Popen([sys.executable, "-c", source, str(path), str(run)]) for run in range(3)]
        assert [run.wait() for run in runs] == [0, 0, 0]
        assert {one.test for one in load(path).entries} == {f"{run}-{n}" for run in range(3) for n in range(10)}
        assert [one.name for one in tmp_path.iterdir()] == ["b.json"]

    def test_a_lock_that_nobody_gives_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that is stopped while it writes does not keep this one from ending."""
        monkeypatch.setattr(baseline_file, "LOCK_SECONDS", 0.05)
        path = tmp_path / "b.json"
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with pytest.raises(UsageProblem) as raised:
                update(path, lambda _: Changed((BARE,)))
        finally:
            os.close(descriptor)
        assert str(raised.value) == (
            f"the baseline file {path} cannot be written: another run has kept its lock for too long"
        )
        assert not path.exists()

    def test_a_file_system_that_cannot_lock(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As NFS, on which a directory cannot be locked: the file is written all the same."""

        def refuse(*_: object) -> None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

        monkeypatch.setattr(fcntl, "flock", refuse)
        update(tmp_path / "b.json", lambda _: Changed((BARE,)))
        assert load(tmp_path / "b.json") == Baseline((reviewed(BARE),))
