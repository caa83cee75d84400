"""What tests have kept, and their facts, in the HTML report of a real run, in a real Chromium."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from chromium import Page, started
from program import gpupool
from support import Host

SUITE = r"""
import base64
import pytest

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAECAIAAAA8r+mnAAAAEElEQVR4nGP4z8CAFTFQUwIAmK4f4aSCyJ0AAAAASUVORK5CYII="
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="8" onload="alert(1)"><script>alert(1)</script></svg>'

@pytest.mark.parametrize("model", ["a", "b"])
def test_detector(model, attach, out_dir, record_fact):
    record_fact("checkpoint", "step-8000" if model == "b" else "<b>")
    record_fact("same", "x")
    attach(PNG, "<img src=x onerror=alert(1)>")
    attach("line <b>1</b>\nline 2", "log")
    attach("https://example.org/run/17", "the run")
    (out_dir / "a #?%:é.svg").write_text(SVG)
    (out_dir / "broken.png").write_bytes(PNG[:40])
    (out_dir / "page.html").write_text("<script>alert(1)</script>")
    (out_dir / "big.png").write_bytes(PNG + bytes(300_000))
    (out_dir / "gone.txt").write_text("gone")
    assert model == "a"
"""

PICTURES = "return [...document.querySelectorAll('details[open] .kept img')].map(each => each.naturalWidth)"


def opened(page: Page, path: Path, run: Path) -> dict[str, str]:
    """Open the first test's details in a page; the files that it links, by what they are called there."""
    page.open(path)
    assert page.all("table.tests img[src]") == []  # none before somebody looks
    page.click(page.one("table.tests > tbody[id] summary"))
    page.wait("document.querySelectorAll('details[open] .kept img[src]').length === 2")
    page.wait("[...document.querySelectorAll('details[open] .kept img')].every(each => each.complete)")
    page.wait("document.querySelector('details[open] .kept').textContent.includes('its file is damaged')")
    assert page.run(PICTURES) == [8, 20]
    links = [(link.text, str(link.get_attribute("href"))) for link in page.all("details[open] .kept a")]
    found = dict(links)
    assert found.pop("the run") == "https://example.org/run/17"
    assert all(Path(unquote(urlsplit(href).path)).is_relative_to(run / "attachments") for href in found.values())
    assert all(Path(unquote(urlsplit(href).path)).is_file() for href in found.values())
    return found


def test_they_are_shown_and_linked(cpu_host: Host, tmp_path: Path) -> None:
    """Pictures and texts in the page, all else by links from wherever it is; what is gone is said to be."""
    host = cpu_host
    host.write("test_it.py", SUITE)
    assert host.pytest("-n2", "--gpupool-html=out/deep/r.html").status == 1
    run = max((host.project / ".gpupool" / "runs").iterdir()).resolve()
    names = ["<img src=x onerror=alert(1)>", "log", "a #?%:é.svg", "big.png", "broken.png", "gone.txt", "page.html"]
    with started(tmp_path / "chromium") as driver:
        page = Page(driver)
        found = opened(page, host.project / "out" / "deep" / "r.html", run)
        assert sorted(found) == sorted(names)
        page.click(page.one("details[open] .kept summary"))
        page.wait("document.querySelector('.kept details[open] pre').textContent")
        assert page.texts(".kept details[open] pre") == ["line <b>1</b>\nline 2"]
        assert "application/octet-stream" not in page.one("details[open] .kept").text
        for gone in run.rglob("gone.txt"):
            gone.unlink()
        assert gpupool(host, "report", "latest", "--html", "again.html")[0] == 0
        assert sorted(opened(page, host.project / "again.html", run)) == sorted({*names} - {"gone.txt"})
        assert (
            "gone.txt text/plain, 4 B; it is no longer in the run's directory" in page.one("details[open] .kept").text
        )
        # Facts: in the details, as a filter, and as a column.
        assert page.texts("details[open] dl dd")[1] == "checkpoint = step-8000, same = x"
        page.choose("tests", "checkpoint", "<b>")
        page.wait("document.querySelector('.shown').textContent === '1 of 2 shown'")
        assert page.texts("table.tests > tbody[id] th > code") == ["test_it.py::test_detector[a]"]
        page.choose("tests", "checkpoint", "any")
        page.click(next(each for each in page.all("fieldset label") if each.text.startswith("checkpoint (fact)")))
        page.wait("document.querySelector('table.tests td.param')")
        assert page.texts("table.tests td.param") == ["step-8000", "<b>"]
        assert page.texts("table.tests th.param") == ["checkpoint"]
        page.click(page.one("table.tests th.param button"))
        page.wait("document.querySelector('table.tests td.param').textContent === '<b>'")
        assert page.complaints() == []
