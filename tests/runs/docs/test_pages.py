"""Every command of README and of the site, run in the order of its page, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import bytecode
import pytest
from doc_pages import Page, pages
from doc_places import Places
from doc_shell import Reader, complaint
from support import Host


@pytest.fixture
def places(request: pytest.FixtureRequest, libraries: Path, tmp_path: Path) -> Iterator[Places]:
    """Where commands run that are not for a page's host."""
    with ExitStack() as stack:
        yield Places(request, libraries, tmp_path, stack)


@pytest.mark.parametrize("page", [page for page in pages() if page.commands], ids=lambda page: page.name)
def test_what_a_page_says_is_so(
    page: Page, make_host: Callable[..., Host], places: Places, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """A reader who saves its files and types its commands sees what it shows."""
    bytecode.compile_for_pytest()
    host = make_host(page.gpus, name="NVIDIA H200", memory=141 * 2**30) if page.gpus else Host(tmp_path, None)
    wrong, printed = [], []
    for command, status, text in Reader(host, places).follow(page):
        if told := complaint(page, command, status, text):
            wrong.append(told)
            printed.append((command, text))
    if wrong and pytestconfig.getoption("write_docs"):
        page.write([(command, text) for command, text in printed if command.expected])
    assert not wrong, "\n\n".join(wrong)
