"""Screenshots of the HTML report for the pages, by headless Chromium: ``python docs/screenshots.py`` makes them anew.

Of a made report, so that they differ only where the report's page does. Needs chromium and chromedriver.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE / "screenshots"
LARGEST = 150_000
"""Bytes of a picture: a page is to be there at once."""

# name, the window's width and height, the colours that the reader prefers
SHOTS = (
    ("report-light", 1300, 800, "light"),
    ("report-dark", 1300, 800, "dark"),
    ("report-narrow-light", 400, 800, "light"),
    ("report-narrow-dark", 400, 800, "dark"),
)

# What the sample's tests say to attack the page, and what a suite says in its place.
USUAL = {
    "</script><img src=x onerror=alert(1)>": "AssertionError: p99 latency 212 ms, more than the 180 ms allowed",
    "the model <b>forgot</b> & failed": "accuracy is 0.8812",
    "</script>": "short",
    "\u202emodel": "long",
}


def main() -> int:
    """Make all of them; 1 where one is too large."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from chromium import Page, started
    from sample_report import INJECTED, ODD, a_past, a_run

    from pytest_gpupool.reports.html.document import render

    report, past = _plain(ODD, INJECTED, of=(made := a_run(), a_past(made)))
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(render(report, past), encoding="utf-8")
        with started(Path(folder)) as driver:
            page = Page(driver)
            for name, width, height, colours in SHOTS:
                page.tell(
                    "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
                )
                page.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])
                page.open(file)
                picture = base64.b64decode(page.tell("Page.captureScreenshot", format="png")["data"])
                FOLDER.mkdir(exist_ok=True)
                FOLDER.joinpath(f"{name}.png").write_bytes(picture)
                sizes[name] = len(picture)
    for name, size in sizes.items():
        print(f"{size:8} bytes  {name}")
    return int(max(sizes.values()) > LARGEST)


def _plain(*odd: str, of: Any) -> Any:
    """Return the same with names that a suite has in place of those by which the page is tested."""
    text = json.dumps(of).replace(json.dumps("run-2"), json.dumps("20261121T114652Z-9f3c2a"))
    for number, name in enumerate(odd):
        text = text.replace(json.dumps(name)[1:-1], f"evals/test_serving.py::test_latency[batch={number + 1}]")
    for hostile, usual in USUAL.items():
        text = text.replace(json.dumps(hostile)[1:-1], json.dumps(usual)[1:-1])
    return json.loads(text)


if __name__ == "__main__":
    sys.exit(main())
