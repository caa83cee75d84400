"""How long a reader waits for the HTML report: to open it, to sort it, to find a test in it.

    python benchmarks/pages.py [--tests 130,5000,20000] [--rounds 5]

A made report of so many tests, with twelve runs before it, is opened from a file in headless Chromium (Debian:
chromium, chromium-driver). ``open`` is from the navigation until all that is to be seen has been drawn, ``sort`` and
``filter`` from the press of a key to the next frame; the slowest of all columns, and of the rounds the median.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(ROOT))

from chromium import Page, started  # noqa: E402
from sample_report import a_past, a_run  # noqa: E402

from pytest_gpupool.reports.html.document import render  # noqa: E402

SORT = """
const [column, done] = arguments;
const begun = performance.now();
document.querySelectorAll("table.tests thead button")[column].click();
requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
"""
FILTER = """
const [words, done] = arguments;
const [input, begun] = [document.getElementById("filter"), performance.now()];
input.value = words;
input.dispatchEvent(new Event("input"));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
"""


def measured(page: Page, path: Path, rounds: int) -> Iterator[tuple[str, float]]:
    """Open, sort and filter a page so many times; yield what took how many seconds."""
    opened, sorts, filters = [], [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        page.open(path)
        opened.append(time.perf_counter() - begun)
        columns = len(page.all("table.tests thead button"))
        sorts.append(max(page.driver.execute_async_script(SORT, column) for column in range(columns)) / 1000)
        filters.append(page.driver.execute_async_script(FILTER, "gsm8k gemma 5-7") / 1000)
    yield from (("open", median(opened)), ("sort", median(sorts)), ("filter", median(filters)))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", default="130,5000,20000")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{'tests':>7} {'render':>9} {'size':>9} {'open':>9} {'sort':>9} {'filter':>9}")
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as driver:
        for tests in map(int, args.tests.split(",")):
            report, path = a_run(tests), Path(folder) / f"{tests}.html"
            begun = time.perf_counter()
            path.write_text(render(report, a_past(report)), encoding="utf-8")
            made = time.perf_counter() - begun
            told = " ".join(f"{seconds:7.2f} s" for _, seconds in measured(Page(driver), path, args.rounds))
            print(f"{tests:7} {made:7.2f} s {path.stat().st_size / 1e6:6.1f} MB {told}", flush=True)


if __name__ == "__main__":
    main()
