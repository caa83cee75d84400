"""The house's rules for README and the site: short, linked, and nothing in them that nobody has tried."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from doc_pages import DOCS, README, ROOT, File, Other, Page, difference, pages, shows
from made_examples import MADE

PAGES = pages()


def ini(text: str) -> None:
    """As pytest reads its file."""
    from iniconfig import IniConfig

    IniConfig("pytest.ini", text)


def sh(text: str) -> None:
    """As bash reads it before it runs anything."""
    try:
        subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise ValueError(error.stderr) from error


def console(text: str) -> None:
    """What is typed there."""
    lines = text.replace("\\\n", " ").splitlines()
    sh("\n".join(line[2:] for line in lines if line.startswith("$ ")))


PARSE: Mapping[str, Callable[[str], object]] = {
    "python": ast.parse,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "json": json.loads,
    "ini": ini,
    "sh": sh,
    "console": console,
}
"""Complains of what is none of that language; ``console`` and ``sh`` are to say, too, why they are not run."""


def test_readme_is_short() -> None:
    """At most 8 KiB, on which all that a stranger needs first is found in a minute."""
    assert README.stat().st_size <= 8192


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_untried(page: Page) -> None:
    """A block is a file, commands that are run, an excerpt that can be parsed, or it says why it is none of these.

    What says so has the language that it says.
    """
    unmarked = []
    for part in page.parts:
        if isinstance(part, Other) and not part.made:
            if not part.why and part.language in ("sh", "console"):
                unmarked.append((page.name, part.line, part.language, "why is it not run?"))
            elif part.why and part.language not in PARSE:
                continue
            try:
                PARSE[part.language](part.text)
            except (KeyError, ValueError, SyntaxError, yaml.YAMLError) as error:
                unmarked.append((page.name, part.line, part.language, repr(error)))
        elif isinstance(part, File) and part.name.endswith(".py"):
            ast.parse(part.text)
    assert not unmarked


EXAMPLES = [(page, part) for page in PAGES for part in page.parts if isinstance(part, Other) and part.made]


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=lambda value: value.made if isinstance(value, Other) else "")
def test_examples_are_what_would_be_printed(page: Page, block: Other, tmp_path: Path) -> None:
    """What a page shows of a long run is what the package makes of such a one."""
    made = MADE[block.made](tmp_path)
    where = f"{page.name}, line {block.line}"
    assert shows(block.expected, made), f"{where}\n{difference(block.expected, made)}\nmade:\n{made}"


def test_every_example_is_shown() -> None:
    """Else nobody needs it."""
    assert {block.made for _, block in EXAMPLES} == {*MADE}


def links(page: Page) -> list[str]:
    """The places in the repository that a page has links to."""
    text = re.sub(r"^```.*?^```$", "", "\n".join(page.lines), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))
    return [link for link in found if not link.startswith(("http", "mailto:"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    """Where GitHub shows a page, too; that headings are there is Sphinx's to see."""
    gone = [link for link in links(page) if not (page.path.parent / link.partition("#")[0]).exists()]
    assert not gone


def declared_options() -> Any:
    """What the reference is made of."""
    import sys

    sys.path.insert(0, str(DOCS))
    try:
        import made
    finally:
        sys.path.remove(str(DOCS))
    return made


def test_options_that_pages_name_are_there() -> None:
    """None is misspelt, and none is gone."""
    known = set(declared_options().declared().options)
    made_up = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"--gpupool-[a-z-]*[a-z]", "\n".join(page.lines))
        if name not in known
    }
    assert not made_up


@pytest.mark.parametrize("name", ["options", "ini", "marker", "fixtures", "commands", "schema", "messages"])
def test_the_reference_is_made(name: str) -> None:
    """Of each kind there is a page, and it has something."""
    made = declared_options()
    assert any(f"```{{made}} {name}" in path.read_text(encoding="utf-8") for path in Path(DOCS).rglob("*.md"))
    text = made.MADE[name]()
    wanted = {
        "options": "`--gpupool-resume[=RUN]` | `gpupool_resume`",
        "ini": "`gpupool_rtol` | `0.01`",
        "marker": "`repeats=None` | ",
        "fixtures": "record_metric(\n    name: str,\n    value: object,\n    *,",
        "commands": "## `gpupool baseline`",
        "schema": "## `tests.metrics`",
        "messages": "| 4 | --gpupool-update-baseline: say which file with --gpupool-baseline=PATH |",
    }
    assert wanted[name] in text


def test_every_page_is_below_a_section() -> None:
    """A page that is new is found by its section."""
    sections = {"tutorial", "how-to", "reference", "explanation"}
    names = {path.relative_to(DOCS).parts for path in DOCS.rglob("*.md")}
    assert {parts[0] for parts in names if len(parts) > 1} == sections
    assert all(len(parts) <= 2 for parts in names), "sections list their pages, and no folders"
    assert ROOT.joinpath("pyproject.toml").exists()


def test_pictures_are_small() -> None:
    """A page is there at once."""
    sizes = {path.name: path.stat().st_size for path in DOCS.rglob("*.png")}
    assert sizes
    assert max(sizes.values()) <= 150_000
