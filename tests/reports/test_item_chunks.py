"""The items of tests, as the HTML page has them."""

from __future__ import annotations

from typing import Any

from made_reports import a_test

from pytest_gpupool.reports.html.data import chunks
from pytest_gpupool.reports.html.data.items import CHUNK, packed


def an_item(name: str, **told: Any) -> dict[str, Any]:
    return {"id": name, "scores": {"score": 1}, "flip": None, "right": True, **told}


def test_each_test_has_chunks_of_its_own() -> None:
    """With what is told of them before they are read; a test without items has none."""
    found = {"a": [an_item(f"q{n}") for n in range(CHUNK + 1)], "c": [an_item("x", flip="broke", right=False)]}
    told, lines = packed([a_test(name) for name in "abc"], lambda test: found.get(test["nodeid"], []))
    assert told == {"0": [0, 2, CHUNK + 1, 0, 0, 0], "2": [2, 1, 1, 1, 0, 1]}
    assert [len(chunks.unpacked(line)) for line in lines] == [CHUNK, 1, 1]
    assert packed([a_test("a")], None) == ({}, [])


def test_an_item_is_told_as_text() -> None:
    """A text as it is, any other value as JSON; what cannot be seen as an escape; NaN by its name."""
    item = an_item(
        "\x1b", input={"é": [1]}, output="a\u202e", target=0, right=None, repeat=2, scores={"f1": "nan"}, cut=["input"]
    )
    before = {"output": ["b"], "scores": {"f1": 0.5}, "cut": {"output": {}}}
    _, (line,) = packed([a_test("a")], lambda _: [item | {"before": before}])
    assert chunks.unpacked(line) == [
        ["\\x1b #r2", None, None, {"f1": "nan"}, '{\n "é": [\n  1\n ]\n}', "0", "a\\u202e",
         ['[\n "b"\n]', {"f1": 0.5}, None], ["input", "output before"]],
    ]  # fmt: skip
