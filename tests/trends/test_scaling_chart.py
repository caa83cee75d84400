"""The chart of a suite's scaling."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from pytest_gpupool.trends import scaling_chart
from pytest_gpupool.trends.speedup import TimedRun, points

SVG = "{http://www.w3.org/2000/svg}"


def timed(asked: int, time: float) -> TimedRun:
    return TimedRun(asked=asked, workers=asked, time=time)


def texts(picture: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_the_chart_has_both_curves() -> None:
    """Each with its ideal, the classes, and what a screen reader reads."""
    picture = scaling_chart.svg(points([timed(1, 8.0), timed(2, 4.5), timed(4, 4.0)]), title="pytest a.py")
    root = ElementTree.fromstring(picture)
    assert [line.get("class") for line in root.iter(f"{SVG}polyline")] == ["ideal", "is"] * 2
    assert [band.get("class") for band in root.iter(f"{SVG}rect")] == ["band excellent", "band good", "band poor"]
    said = texts(picture)
    assert {"pytest a.py", "Time, s", "8.00", "4.50", "4.00", "100%", "89%", "50%", "excellent", "good", "poor"} <= {
        *said
    }
    assert root.findtext(f"{SVG}title") == "Scaling: pytest a.py"
    assert "with 2 workers 4.50 seconds, efficiency 89% (excellent)" in (root.findtext(f"{SVG}desc") or "")
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_nothing_is_praised_where_all_workers_share_cores() -> None:
    """There are no bands of classes then."""
    runs = [TimedRun(asked=asked, workers=asked, time=8.0, shared_cores=1) for asked in (2, 4)]
    picture = scaling_chart.svg(points(runs), title="pytest a.py")
    root = ElementTree.fromstring(picture)
    assert not list(root.iter(f"{SVG}rect"))
    assert not {"excellent", "good", "poor"} & {*texts(picture)}
    assert "Efficiency (speedup ÷ workers): some share cores" in texts(picture)
    assert (root.findtext(f"{SVG}desc") or "").count("(they share cores)") == 2


@pytest.mark.parametrize("title", ["a & b < c > \"d\" 'e'", "\0\x1b\ud800\uffff", "x" * 1000, "ünï–\N{ROCKET}", ""])
def test_the_chart_is_xml_whatever_its_title(title: str) -> None:
    """Cut where it is long, with a mark for what XML cannot carry."""
    told = texts(scaling_chart.svg(points([timed(1, 8.0)]), title=title).encode().decode())[0]
    assert len(told) <= 70
    assert told == title or len(title) > 70 or "\N{REPLACEMENT CHARACTER}" in told


@pytest.mark.parametrize(
    ("time", "head", "label"),
    [
        (0.004, "Time, s", "0.00"),
        (299, "Time, s", "299"),
        (600, "Time, min", "10.0"),
        (9e6, "Time, h", "2500"),
    ],
)
def test_times_have_a_fitting_unit(time: float, head: str, label: str) -> None:
    """Seconds, minutes or hours."""
    assert {head, label} <= {*texts(scaling_chart.svg(points([timed(1, time)]), title="a"))}


def test_many_points_stay_readable() -> None:
    """Not every one has a label, but each its dot; within the picture."""
    picture = scaling_chart.svg(points([timed(n, 100 / n) for n in range(1, 65)]), title="a")
    root = ElementTree.fromstring(picture)
    dots = list(root.iter(f"{SVG}circle"))
    assert len(dots) == 2 * 64
    assert all(0 < float(dot.get("cx", 0)) < scaling_chart.WIDTH for dot in dots)
    assert all(0 < float(dot.get("cy", 0)) < scaling_chart.HEIGHT for dot in dots)
    assert len(texts(picture)) < 60


@pytest.mark.parametrize("most", [1e-9, 0.3, 1.0, 1.15, 5.0, 7, 99, 100, 1e9])
def test_ticks_are_round(most: float) -> None:
    """Two to six of them, from 0 up to the largest value."""
    found = scaling_chart.ticks(most)
    assert 2 <= len(found) <= 6
    assert found[0] == 0
    assert most / 2 < found[-1] <= most * 1.001
