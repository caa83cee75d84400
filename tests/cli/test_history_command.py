"""``gpupool history TEST METRIC``, on many runs made by hand."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from made_runs import CARDS, COMMIT, Record, attempt, metric, write_run
from program import gpupool
from support import Host

from pytest_gpupool.cli.main import main

TEST = "evals/test_llm.py::test_mmlu[llama-8]"


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return re.split(r"  +", line)


class Made:
    """Runs made by hand, and the program, called in this process."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self._capsys = capsys
        (base / "runs").mkdir()

    def run(self, *records: Record, number: int | None = None, **more: Any) -> str:
        """Make a run, an hour after the last one, and return its id."""
        number = len(list((self.base / "runs").iterdir())) if number is None else number
        run = f"20261121T{number:02}0000Z-9f3c2a"
        write_run(self.base, run, list(records), **more)
        return run

    def values(self, *values: float | str | None, test: str = TEST, **more: Any) -> None:
        """Make a run for each value of a metric that is called time."""
        for value in values:
            self.run(*attempt(test, metric("time", value, **more)))

    def says(self, *args: str, status: int = 0) -> str:
        """What it prints; on the error stream where it fails."""
        assert main(["history", *args, "--dir", str(self.base)]) == status
        out, err = self._capsys.readouterr()
        assert (out, err)[not status] == ""
        return err if status else out

    def rows(self, *args: str) -> list[list[str]]:
        """The cells of the table, without its head."""
        return [cells(line) for line in self.says(*args).split("\n\n")[1].splitlines()[1:]]

    def summaries(self, *args: str) -> list[list[str]]:
        """The cells of the last lines."""
        return [cells(line) for line in self.says(*args).split("\n\n")[2].splitlines()]


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Made:
    """None yet."""
    return Made(tmp_path, capsys)


class TestText:
    """The table."""

    def test_twenty_runs(self, made: Made) -> None:
        """Aligned, with commit and kind of device; the chart has a character for each."""
        made.values(*(10 + number / 10 for number in range(20)))
        lines = made.says("mmlu", "time").splitlines()
        assert lines[0] == f"{TEST}  time  (lower is better)"
        assert lines[2:5] == [
            "RUN                      WHEN (UTC)        COMMIT      DEVICE        VALUE   CHANGE  VERDICT",
            "20261121T000000Z-9f3c2a  2026-11-21 11:46  c0ffee0000  NVIDIA H200    10 s",
            "20261121T010000Z-9f3c2a  2026-11-21 11:46  c0ffee0000  NVIDIA H200  10.1 s      +1%",
        ]
        assert len(lines) == 25
        assert lines[-1] == "NVIDIA H200  ▁▁▂▂▂▃▃▄▄▄▅▅▅▆▆▇▇▇██  min 10 s  median 10.95 s  max 11.9 s  (20 values)"

    def test_a_terminal_that_knows_ascii_only(self, made: Made, cpu_host: Host) -> None:
        """The chart has other characters; those of a name that cannot be written are escaped."""
        made.values(1, "inf", 2, 4, test="t.py::test_größe")
        args = ("history", "test_gr", "time", "--dir", made.base)
        status, out, err = gpupool(cpu_host, *args, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert (status, err) == (0, "")
        assert out.splitlines()[0].startswith("t.py::test_gr\\xf6\\xdfe  time")
        assert cells(out.splitlines()[-1])[1] == "_x-#"

    @pytest.mark.parametrize(
        ("values", "chart"),
        [
            ([1, 2, 3], "▁▅█"), ([3, 2, 1], "█▅▁"), ([5, 5, 5], "▄▄▄"), ([1, "nan", 2], "▁×█"), (["nan"] * 3, "×××"),
            ([0, "-inf", "inf"], "▄××"), ([-1e308, 0, 1e308], "▁▅█"), ([1, 10**400, 2], "▁×█"), ([1, 2], None),
        ],
    )  # fmt: skip
    def test_charts(self, made: Made, values: list[float | str], chart: str | None) -> None:
        """From the least to the most; one or two values have none."""
        made.values(*values)
        shown = made.summaries("mmlu", "time")[0]
        assert (shown[1] == chart) if chart else shown[1].startswith("min")

    @pytest.mark.parametrize(
        ("values", "changes"),
        [
            ([10, 10.1, 5], ["+1%", "-50.5%"]), ([1, 1], ["+0%"]), ([-2, -1], ["+50%"]), ([0, 1], [""]),
            ([1, 1.00002], ["+0.002%"]), ([1, 30], ["+2900%"]), ([1e-300, 1e300], [""]), ([1, 1e20], ["+1e+22%"]),
            ([2, "nan", 3], ["", "+50%"]), ([10**400, 1], [""]), ([1, 10**400], [""]),
        ],
    )  # fmt: skip
    def test_changes(self, made: Made, values: list[float | str], changes: list[str]) -> None:
        """To the last value that is one; nothing where there is none, or it was 0."""
        made.values(*values, unit="")
        table = made.says("mmlu", "time").split("\n\n")[1].splitlines()
        column = slice(table[0].index("VALUE") + len("VALUE"), table[0].index("CHANGE") + len("CHANGE"))
        shown = [line[column].strip() for line in table[2:]]
        assert [re.sub("^(nan|.* )", "", text).strip() for text in shown] == changes

    def test_kinds_of_device(self, made: Made) -> None:
        """A change is that on one kind; each has a chart and figures of its own. So has another unit."""
        for number, (value, unit) in enumerate([(1.0, "s"), (8.0, "s"), (2.0, "s"), (4.0, "s"), (3.0, "ms")]):
            card = CARDS[3] if number % 2 else CARDS[0]
            made.run(*attempt(TEST, metric("time", value, unit=unit), devices=[card.id]))
        assert [row[3:] for row in made.rows("mmlu", "time")] == [
            ["NVIDIA H200", "1 s"], ["NVIDIA T4", "8 s"], ["NVIDIA H200", "2 s", "+100%"], ["NVIDIA T4", "4 s", "-50%"],
            ["NVIDIA H200", "3 ms"],
        ]  # fmt: skip
        assert made.summaries("mmlu", "time") == [
            ["NVIDIA H200", "min 1 s", "median 1.5 s", "max 2 s", "(2 values)"],
            ["NVIDIA T4", "min 4 s", "median 6 s", "max 8 s", "(2 values)"],
            ["NVIDIA H200", "min 3 ms", "median 3 ms", "max 3 ms", "(1 value)"],
        ]

    def test_each_worker_ran_the_test(self, made: Made) -> None:
        """Each of its values has a row, with the device; a change is that on the one device."""
        for later in range(2):
            records: list[Record] = []
            for number, card in enumerate(CARDS[:2]):
                value = metric("time", 1 + number + later)
                records += attempt(TEST, value, worker=f"gw{number}", devices=[card.id])
            made.run(*records, each=True)
        assert [row[3:] for row in made.rows("mmlu", "time")] == [
            [f"NVIDIA H200 {CARDS[0].id}", "1 s"], [f"NVIDIA H200 {CARDS[1].id}", "2 s"],
            [f"NVIDIA H200 {CARDS[0].id}", "2 s", "+100%"], [f"NVIDIA H200 {CARDS[1].id}", "3 s", "+50%"],
        ]  # fmt: skip

    def test_verdicts(self, made: Made) -> None:
        """The last column."""
        made.values(1.0, verdict="regressed")
        assert made.rows("mmlu", "time")[0][-1] == "regressed"

    def test_odd_names_cannot_harm(self, made: Made) -> None:
        """Newlines, escapes of terminals, and what turns the order of writing are shown as such."""
        odd = "t.py::test[\x1b[31m\n\t\u202e\ud800]"
        made.values(1.0, test=odd, unit="s")
        text = made.says("test[", "time")
        assert text.splitlines()[0] == "t.py::test[\\x1b[31m\\n\\t\\u202e\\ud800]  time  (lower is better)"
        error = made.says("test[", "none", status=4)
        assert error.splitlines()[0].startswith("gpupool: no metric of t.py::test[\\x1b[31m\\n\\t\\u202e\\ud800] is")


class TestWhich:
    """Which test and metric are meant."""

    def test_the_whole_id_is_always_enough(self, made: Made) -> None:
        """Though it is a part of another one."""
        made.run(*attempt("t.py::a", metric("time", 1.0)), *attempt("t.py::ab", metric("time", 2.0), at=2))
        assert made.rows("t.py::a", "time")[0][4] == "1 s"

    def test_the_metric_may_decide(self, made: Made) -> None:
        """Where only one of the tests has it, in any of the runs."""
        made.run(*attempt("t.py::a", metric("time", 1.0)), *attempt("t.py::b", metric("loss", 2.0), at=2))
        made.run(*attempt("t.py::b", metric("rate", 3.0)))
        assert made.says("t.py", "rate").startswith("t.py::b  rate")

    def test_more_than_ten(self, made: Made) -> None:
        """Ten are named."""
        made.run(*(record for number in range(12) for record in attempt(f"t.py::test[{number:02}]", metric("m", 1))))
        told = made.says("test", "m", status=4)
        assert told.startswith("gpupool: 12 tests with the metric 'm' match 'test'; give more of it:\n")
        assert told.splitlines()[1:] == [*(f"  t.py::test[{number:02}]" for number in range(10)), "  … and 2 more"]

    def test_no_such_metric(self, made: Made) -> None:
        """Those that there are, also those of earlier runs."""
        made.run(*attempt(TEST, metric("time", 1.0), metric("loss", 1.0)))
        made.run(*attempt(TEST, metric("accuracy", 1.0)))
        assert made.says("mmlu", "tmie", status=4) == (
            f"gpupool: no metric of {TEST} is called 'tmie' in the 2 runs on record in {made.base}; there are:\n"
            "  accuracy\n  loss\n  time\n"
        )

    def test_no_such_metric_of_several(self, made: Made) -> None:
        """Those of all of them."""
        made.run(*attempt("t.py::a", metric("time", 1.0)), *attempt("t.py::b", metric("loss", 2.0), at=2))
        assert "no metric of 2 tests is called 'x' in the 1 run on record" in made.says("t.py", "x", status=4)

    @pytest.mark.parametrize(
        ("wanted", "near"),
        [
            ("MMLU", "test_mmlu"), ("test_mlu", "test_mmlu"), ("test_mmlu[llama-7]", "test_mmlu[llama-8]"),
            ("evals/test_lm.py", "evals/test_llm.py"), ("LLAMA", "test_mmlu[llama-8]"),
            ("test_llm.py::test_mmlu[llama8]", TEST), ("zzz", None), ("\n", None),
        ],
    )  # fmt: skip
    def test_no_such_test(self, made: Made, wanted: str, near: str | None) -> None:
        """The message has what is most like it, and how many runs were looked at."""
        made.values(1.0, 2.0)
        advice = f"; did you mean {near!r}?" if near else ""
        assert made.says(wanted, "time", status=4) == (
            f"gpupool: no test with metrics matches {wanted!r} in the 2 runs on record in {made.base}{advice}\n"
        )

    def test_there_is_no_run(self, made: Made) -> None:
        """Nor any test."""
        told = f"gpupool: no test with metrics matches 'a' in the 0 runs on record in {made.base}\n"
        assert made.says("a", "time", status=4) == told

    def test_damaged_runs_are_passed_over(self, made: Made) -> None:
        """In silence: 'gpupool report' says what is wrong with one."""
        made.values(1.0, 2.0)
        (made.base / "runs" / "20261121T000000Z-9f3c2a" / "gw0.jsonl").write_text("{")
        assert len(made.rows("mmlu", "time")) == 1

    def test_a_run_that_cannot_be_read_is_said_to_be_left_out(
        self, made: Made, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And why; the others are shown."""
        made.values(1.0, 2.0)
        bad = made.base / "runs" / "20261121T090000Z-9f3c2a"
        (bad / "gw0.jsonl").mkdir(parents=True)
        assert main(["history", "mmlu", "time", "--dir", str(made.base), "--format", "csv"]) == 0
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 3
        assert err == f"gpupool: a run is left out: {bad} cannot be read: Is a directory\n"


class TestData:
    """What other programs read."""

    EXPECTED: tuple[dict[str, Any], ...] = (
        {
            "run": "20261121T000000Z-9f3c2a", "commit": COMMIT, "device": "NVIDIA H200", "device_ids": [CARDS[0].id],
            "value": 1.1234567890123, "non_finite": None, "unit": "s", "higher_is_better": False,
            "change_to_previous": None, "baseline": 1.5, "verdict": "improved", "outcome": "passed",
        },
        {"value": None, "non_finite": "nan", "verdict": "invalid", "change_to_previous": None},
        {"value": 2.2469135780246, "change_to_previous": 1.0, "baseline": None, "verdict": None},
    )  # fmt: skip

    @pytest.fixture
    def three(self, made: Made) -> Made:
        """Runs with a value that has a verdict, one that is not finite, and another one."""
        made.values(1.1234567890123, verdict="improved", baseline=1.5)
        made.values("nan", 2.2469135780246)
        return made

    def test_as_json(self, three: Made) -> None:
        """Strict, with all digits."""
        data = json.loads(three.says("mmlu", "time", "--format=json"), parse_constant=pytest.fail)
        assert (data["test"], data["metric"]) == (TEST, "time")
        for value, expected in zip(data["values"], self.EXPECTED, strict=True):
            assert {key: value[key] for key in expected} == expected
            assert value["started"] == "2026-11-21T11:46:50.000000Z"

    def test_as_csv(self, three: Made) -> None:
        """A head, and a line for each value."""
        rows = list(csv.DictReader(io.StringIO(three.says("mmlu", "time", "--format=csv"))))
        assert [row["value"] for row in rows] == ["1.1234567890123", "nan", "2.2469135780246"]
        assert [row["verdict"] for row in rows] == ["improved", "invalid", ""]
        assert [row["change_to_previous"] for row in rows] == ["", "", "1.0"]
        assert (rows[0]["run"], rows[0]["device_ids"]) == ("20261121T000000Z-9f3c2a", CARDS[0].id)
        three.values(-1.5, test="evals/test_a.py::test_b", unit="=cmd|'/c calc'!A0")  # no formula, and a number is one
        (row,) = csv.DictReader(io.StringIO(three.says("test_b", "time", "--format=csv")))
        assert (row["value"], row["unit"]) == ("-1.5", "'=cmd|'/c calc'!A0")

    def test_other_forms_are_refused(self, three: Made) -> None:
        """With the usage."""
        with pytest.raises(SystemExit) as raised:
            three.says("mmlu", "time", "--format=yaml")
        assert raised.value.code == 2
