"""The script of the HTML report, put together from its parts."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from pytest_gpupool.reports.html.scripts import COMPARING, SERVED, joined, without_comments

ALL = tuple(dict.fromkeys((*SERVED, *COMPARING)))
SOURCES = {
    name: resources.files("pytest_gpupool.reports.html").joinpath(f"script/{name}.js").read_text("utf-8")
    for name in ALL
}


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("// a\nf();\n", "f();\n"),
        ("  // a\n  f();\n", "  f();\n"),
        ("/** @type {() => void} */\nf();\n", "f();\n"),
        ("/**\n * a ** b\n * @param {A} a\n */\nf();\n", "f();\n"),
        ("  /** a */  \n\n/** b */\nf();\n", "\nf();\n"),
        ("/***/\nf();\n", "f();\n"),
        ("", ""),
    ],
)
def test_lines_of_comments_are_left_out(source: str, kept: str) -> None:
    assert without_comments(source) == kept


@pytest.mark.parametrize(
    "source",
    [
        "f(); // why\n",
        "const a = /** @type {A} */ (b);\n",
        "/** @type {A} */ (b).c();\n",
        'const a = "http://here";\n',
        "const a = `/** ${b} */`;\n",
        "a = b\n/ c / d;\n",
        "/* as it is */\nf();\n",
    ],
)
def test_lines_of_code_stay_as_they_are(source: str) -> None:
    assert without_comments(source) == source


def test_the_parts_share_a_scope_in_their_order() -> None:
    assert joined(["// a\nf();\n", "g();\n"]) == '(() => {\n"use strict";\nf();\n\ng();\n})();\n'


def test_every_part_is_joined() -> None:
    folder = resources.files("pytest_gpupool.reports.html").joinpath("script")
    assert {each.name for each in folder.iterdir()} == {f"{name}.js" for name in ALL}


@pytest.mark.parametrize("name", ALL)
def test_no_text_of_a_part_spans_lines(name: str) -> None:
    """A line that begins like a comment is one."""
    code = without_comments(SOURCES[name])
    assert [line for line in code.splitlines() if line.count("`") % 2] == []


@pytest.mark.parametrize("name", ALL)
def test_a_part_begins_with_what_it_is_for(name: str) -> None:
    assert re.match(r"// [A-Z].*\.\n", SOURCES[name])


def test_nothing_is_declared_in_vain() -> None:
    """Linters cannot tell: what a part declares may be for another one."""
    script = joined(SOURCES.values())
    declared = re.findall(r"^(?:async )?(?:function|const) (\w+)", script, re.MULTILINE)
    assert "drawAll" in declared
    assert [name for name in declared if len(re.findall(rf"\b{name}\b", script)) < 2] == []
