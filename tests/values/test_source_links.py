"""Links to sources: which templates there may be, and what becomes of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_gpupool.values.nodeids import commit_link, source_link, source_template

GITHUB = "https://github.com/a/b/blob/{commit}/{path}#L{line}"
GIT = {"commit": "0123abcd", "branch": None, "dirty": None}


def run(url: str, folder: str = "", git: dict[str, Any] | None = GIT) -> dict[str, Any]:
    return {"sources": {"url": url, "folder": folder}, "git": git}


@pytest.mark.parametrize(
    "text",
    [GITHUB, "http://localhost:8000/{path}", "https://gitlab.com/a/b/-/blob/{commit}/{path}?x=1#L{line}"],
)
def test_what_may_be_given(text: str) -> None:
    assert source_template(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("/", "https://a", "https://a/{commit}", "{path}", "ftp://a/{path}", "https:///{path}", "https://a/ {path}"),
        *("https://a/{path}{", "https://a/{path}}", "https://a/{path!r}", "https://a/{path:>9}", "https://a/{}{path}"),
        *("javascript:alert(1)//{path}", "https://a/{path}/{file}", "https://a/{path.parent}", "https://a/{path[0]}"),
    ],
)
def test_what_may_not(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        source_template(text)


@pytest.mark.parametrize(
    ("told", "path", "line", "expected"),
    [
        (run(GITHUB), "a/t.py", 7, "https://github.com/a/b/blob/0123abcd/a/t.py#L7"),
        (run(GITHUB, "sub/evals"), "t.py", 7, "https://github.com/a/b/blob/0123abcd/sub/evals/t.py#L7"),
        (run(GITHUB), "a b/ü#.py", 7, "https://github.com/a/b/blob/0123abcd/a%20b/%C3%BC%23.py#L7"),
        (run(GITHUB), "t.py", None, "https://github.com/a/b/blob/0123abcd/t.py"),
        (run("https://a/{path}?line={line}"), "t.py", None, "https://a/t.py?line=1"),
        (run(GITHUB, git=None), "t.py", 7, None),
        (run("https://a/{path}", git=None), "t.py", 7, "https://a/t.py"),
        ({"git": GIT}, "t.py", 7, None),
        (run(GITHUB), None, None, None),
    ],
)
def test_of_a_test(told: dict[str, Any], path: str | None, line: int | None, expected: str | None) -> None:
    assert source_link(told, {"path": path, "line": line}) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (GITHUB, "https://github.com/a/b/commit/0123abcd"),
        ("https://gitlab.com/a/b/-/blob/{commit}/{path}#L{line}", "https://gitlab.com/a/b/-/commit/0123abcd"),
        ("https://codeberg.org/a/b/src/commit/{commit}/{path}#L{line}", "https://codeberg.org/a/b/commit/0123abcd"),
        ("https://a/view/{commit}/{path}", "https://a/view/0123abcd"),
        ("https://a/{path}?at={commit}", None),
        ("https://a/{path}", None),
    ],
)
def test_of_a_commit(url: str, expected: str | None) -> None:
    assert commit_link(run(url)) == expected
    assert commit_link(run(url, git=None)) is None
    assert commit_link({"git": GIT}) is None
