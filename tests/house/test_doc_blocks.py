"""How pages of the documentation are read, and what their commands may print."""

from __future__ import annotations

from pathlib import Path

import doc_pages
import pytest
from doc_pages import Command, File, Other, Page, difference, fits

PAGE = """\
# A page

<!-- host: 2 GPUs -->
<!-- file: evals/hidden.py
A = 1
-->

```{code-block} python
:caption: evals/test_it.py

def test_it(): pass
```

- in a list:

  ```console
  $ pytest \\
      evals/  # exit status 1
  …
  1 failed
  $ true
  ```

<!-- quietly: rm -r evals -->

```python
import pytest
```

<!-- not run: needs GitHub -->
```console
$ gh run list
```

<!-- on: SLURM -->
```console
$ srun true
```

```{toctree}
*
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """A page with each kind of block."""
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return Page(path)


def test_blocks_are_files_commands_and_others(page: Page) -> None:
    """In the order of the page; a directive that is no code is nobody's business."""
    hidden, shown, first, second, quiet, excerpt, marked, placed = page.parts
    assert hidden == File(name="evals/hidden.py", text="A = 1\n")
    assert shown == File(name="evals/test_it.py", text="def test_it(): pass\n")
    assert isinstance(first, Command)
    assert (first.text, first.status, first.expected) == ("pytest \\\n    evals/", 1, "…\n1 failed")
    assert isinstance(second, Command)
    assert (second.text, second.status, second.expected) == ("true", 0, "")
    assert isinstance(quiet, Command)
    assert quiet.text == "rm -r evals"
    assert isinstance(excerpt, Other)
    assert (excerpt.language, excerpt.why) == ("python", "")
    assert isinstance(marked, Other)
    assert marked.why == "needs GitHub"
    assert isinstance(placed, Command)
    assert (placed.text, placed.on, first.on) == ("srun true", "SLURM", "")
    assert page.gpus == 2


def test_what_was_printed_can_be_written_into_the_page(page: Page) -> None:
    """In place of what it shows, and nothing else changes."""
    first, second = page.commands[:2]
    page.write([(first, "2 failed\n"), (second, "said\n")])
    lines = page.lines
    assert lines[lines.index("      evals/  # exit status 1") + 1 :][:3] == ["2 failed", "  $ true", "said"]
    assert len(lines) == len(PAGE.splitlines())


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("2 passed in 1.20s", "2 passed in 14.9s\n"),
        ("=== a ===", "\n========== a ==========\n\n"),
        ("first\n…\nlast", "first\nlast\n"),
        ("first\n…\nlast", "first\nbetween\nagain\nlast\n"),
        ("accuracy  0.9  NVIDIA H200 gw0", "accuracy 0.9 NVIDIA H200 gw13\n"),
        ("run 20261201T174325Z-69bd41 of 2026-12-01 17:43", "run 20251201T174325Z-aabbcc of 2025-11-01 07:43\n"),
        ("0.91  2026-12-01  larger context", "0.91  2027-01-31  larger context\n"),
        ("a … c", "a b c\n"),
        ("made 3 of 4 …", "made 3 of 4 in 2 tries\n"),
        ("said", "rootdir: /home/ann/project\n..      [100%]\nsaid\n"),
        ("… and 2 more", "… and 2 more\n"),
    ],
)
def test_what_varies_fits(expected: str, printed: str) -> None:
    """Times, ids, widths, and all that a page leaves open."""
    assert fits(expected, printed), difference(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("2 passed in 1.20s", "1 failed, 1 passed in 1.20s\n"),
        ("accuracy  0.9", "accuracy  0.91\n"),
        ("first\nlast", "first\nbetween\nlast\n"),
        ("said", "said\nand more\n"),
        ("a … c", "a b\nc\n"),
        ("first\n…\nlast", "last\n"),
    ],
)
def test_all_else_does_not(expected: str, printed: str) -> None:
    """A value, a line that is missing, and one too many are told."""
    assert not fits(expected, printed)
    assert any(line[0] in "-+" for line in difference(expected, printed).splitlines())


def test_every_page_is_read() -> None:
    """README, and those of each section."""
    names = {page.name for page in doc_pages.pages()}
    assert {"README.md", "docs/index.md", "docs/tutorial/ten-minutes.md"} <= names
