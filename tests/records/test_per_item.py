"""Values per item lie in files of their own, once, and whoever reads them knows whether these are what was written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.metrics.metric import from_record, make
from pytest_gpupool.records.beside.items import Items, decoded, encoded
from pytest_gpupool.records.shapes.metrics import METRIC


def record(samples: Any, name: str = "accuracy") -> dict[str, Any]:
    """A metric's record, as a worker makes it."""
    return {**make(name, 0.5, kind="score", samples=samples).to_record(), "verdict": None}


def files(folder: Path) -> list[str]:
    """The kinds of the files there."""
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


@pytest.fixture
def items(tmp_path: Path) -> Items:
    return Items(tmp_path / "items")


@pytest.mark.parametrize(
    "samples",
    [[1, 0, 0, 1], {"q1": 1, "q2": 0}, [0.25, 1e300, -3], {"ä\n": math.nan, "b": -math.inf, "c": 0.5}, [0] * 9],
    ids=["bits", "ids", "numbers", "no numbers", "zeros"],
)
def test_what_was_taken_out_is_filled_in_again(items: Items, samples: Any) -> None:
    """The same values with the same ids; between, the record has a digest that is sound."""
    whole = record(samples)
    small = items.taken_out(whole)
    assert METRIC.fits(small)
    assert not {"samples", "items"} & set(small)
    assert repr(from_record(items.filled(small))) == repr(from_record(whole))
    assert items.problem is None


def test_the_same_is_kept_once(items: Items, tmp_path: Path) -> None:
    """Values of another attempt that are the same, and ids of another metric."""
    first = items.taken_out(record({"a": 1, "b": 0}))
    assert items.taken_out(record({"a": 1, "b": 0})) == first
    assert files(tmp_path / "items") == ["items", "values"]
    items.taken_out(record({"a": 0.5, "b": 0.25}, "loss"))
    assert files(tmp_path / "items") == ["items", "values", "values"]


@pytest.mark.parametrize("kind", ["values", "items"])
@pytest.mark.parametrize(("damage", "told"), [(None, "it is missing"), (20, "it is damaged"), (0, "it is damaged")])
def test_what_is_not_there_is_said(items: Items, tmp_path: Path, kind: str, damage: int | None, told: str) -> None:
    """Missing, or cut off: the metric is as one without items, and whoever writes the same mends it."""
    whole = record({f"q{k}": k % 3 for k in range(30)})
    small = items.taken_out(whole)
    (path,) = (tmp_path / "items").glob(f"{kind}-*")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:damage])
    fresh = Items(tmp_path / "items")
    found = from_record(fresh.filled(small))
    assert (found.value, found.n, found.samples, found.items) == (whole["value"], 30, None, None)
    assert fresh.problem == (
        f"values per item are not there, and are not compared: {path.name} in {tmp_path / 'items'}: {told}"
    )
    items.taken_out(whole)
    assert from_record(Items(tmp_path / "items").filled(small)).samples is not None


def test_an_edited_record_reaches_no_other_file(items: Items, tmp_path: Path) -> None:
    """A digest is nothing but one, and there are as many values as the metric says."""
    small = dict(items.taken_out(record([1, 0])))
    assert not METRIC.fits({**small, "per_item": "../../../etc/a"})
    assert "samples" not in items.filled({**small, "n": 3})


def test_old_records_and_runs_without_a_directory_have_them_inside(items: Items, tmp_path: Path) -> None:
    """They are read as they are."""
    whole = record([1, 0, 1])
    assert items.filled(whole) is whole
    assert Items().taken_out(whole) is whole
    (tmp_path / "file").write_text("")
    assert Items(tmp_path / "file" / "items").taken_out(whole) is whole


def test_a_run_takes_over_what_it_keeps(items: Items, tmp_path: Path) -> None:
    """Of each attempt, from whichever place the earlier run has it; a copy, which outlives the earlier one."""
    earlier = Items(tmp_path / "elsewhere")
    old, new = record([0, 1]), record({"a": 0.5, "b": 0.5})
    kept = {"metrics": [earlier.taken_out(new)], "again": [{"metrics": [earlier.taken_out(old)]}], "before": [{}]}
    kept["before"] = [{"metrics": [record([1, 1])]}]  # of an older version
    taken = items.take_over(kept, earlier)
    for path in (tmp_path / "elsewhere").iterdir():
        path.unlink()
    assert from_record(items.filled(taken["metrics"][0])).items == ("a", "b")
    assert from_record(items.filled(taken["again"][0]["metrics"][0])).samples == (0, 1)
    assert "samples" not in taken["before"][0]["metrics"][0]
    assert items.problem is None


@given(st.lists(st.floats() | st.sampled_from([0.0, 1.0]), min_size=1))
def test_values_are_read_as_they_were(samples: list[float]) -> None:
    """Whatever they are, zeros of either sign apart."""
    told = [one if math.isfinite(one) else str(one) for one in samples]
    again = decoded({"n": len(samples), **encoded(told)})
    assert again is not None
    assert len(again) == len(samples)
    assert all(
        one == other or (math.isnan(one) and math.isnan(other)) for one, other in zip(again, samples, strict=True)
    )


@pytest.mark.parametrize(
    "data",
    [{"n": 2, "bits": "8"}, {"n": 2, "bits": "x"}, {"bits": "1"}, {"n": 0, "bits": "0"}, {"n": 1, "samples": ["one"]}],
)
def test_values_that_cannot_be_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"bits|n|samples"):
        decoded(data)
