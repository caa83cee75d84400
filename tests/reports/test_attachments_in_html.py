"""What tests have kept, on the page: what is shown in it, what is linked, and what nobody may be led to."""

from __future__ import annotations

import base64
import os
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from made_pages import details, parsed
from made_reports import Report, a_report, a_test

from pytest_gpupool.cli.status.viewing.attached import Attached, shown_as
from pytest_gpupool.records.beside.attachments import opened
from pytest_gpupool.reports.html.data import attachments, chunks
from pytest_gpupool.reports.html.data.attachments import Files, Group, Shelf, Shown
from pytest_gpupool.reports.html.document import render

PNG = b"\x89PNG\r\n\x1a\n" + b"." * 20
PLACE = "attachments/test_a-0123/gw0-1"
HOSTILE = "\"><script>alert(1)</script> \u202e' #?%:é&lt;"


def told(path: str = "picture.png", media_type: str = "image/png", **more: Any) -> Report:
    """What a report has of a file."""
    return {"name": path, "path": f"{PLACE}/{path}", "media_type": media_type, "size": 28, **more}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run with a test's folder."""
    (tmp_path / "run" / PLACE).mkdir(parents=True)
    return tmp_path / "run"


def keep(run: Path, name: str, content: bytes) -> None:
    (run / PLACE / name).parent.mkdir(parents=True, exist_ok=True)
    (run / PLACE / name).write_bytes(content)


def shown(run: Path | None, *kept: Report) -> tuple[list[Shown], list[str]]:
    """What the page has of these, and the chunks."""
    shelf = Shelf(None if run is None else Files(run, lambda name: name))
    ((_, files, _),) = shelf.of(a_test(attachments=list(kept)))
    return list(files), shelf.lines


@pytest.mark.parametrize(
    ("head", "media_type", "size", "kind"),
    [
        (PNG[:16], "application/octet-stream", 28, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/png", 28, "image/jpeg"),
        (b"GIF89a", "text/html", 28, "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", 28, "image/webp"),
        (b"<svg onload=alert", "image/svg+xml", 28, "image/svg+xml"),
        (b"<html>", "image/png", 28, ""),
        (b"<html>", "text/html", 28, ""),
        (PNG[:16], "image/png", attachments.PICTURE_MOST, "image/png"),
        (PNG[:16], "image/png", attachments.PICTURE_MOST + 1, ""),
        (b"a,b", "text/csv", attachments.TEXT_MOST, attachments.TEXT),
        (b"a,b", "text/csv", attachments.TEXT_MOST + 1, ""),
        (b"", "text/plain", 0, ""),
        (b"{}", "application/json", 2, attachments.TEXT),
        (b"%PDF-", "application/pdf", 28, ""),
    ],
)
def test_what_a_file_is_shown_as(head: bytes, media_type: str, size: int, kind: str) -> None:
    """By what is in it; by its name it is a drawing or a text at most, and never HTML."""
    assert attachments.kind_of(head, media_type, size) == kind


def test_pictures_and_texts_are_in_the_page(run: Path) -> None:
    """Each is a chunk of its own; what is no text after all, is too long or of another kind is linked."""
    keep(run, "picture.png", PNG)
    keep(run, "t.txt", "é\x1b <b>".encode())
    keep(run, "bytes.txt", b"\xff\xfe")
    keep(run, "nul.txt", b"a\0b")
    keep(run, "page.html", b"<script>alert(1)</script>")
    keep(run, "big.png", PNG + bytes(attachments.PICTURE_MOST))
    names = ("bytes.txt", "nul.txt", "page.html", "big.png")
    texts = [told(name, "text/html" if "html" in name else "text/plain") for name in names]
    files, lines = shown(run, told(), told("t.txt", "text/plain", size=3 << 19), *texts)
    assert files[0] == Shown("picture.png", "image/png, 28 B", f"{PLACE}/picture.png", "image/png", 0)
    assert files[1] == Shown("t.txt", "text/plain, 2 MiB", f"{PLACE}/t.txt", "text", 1)
    assert [(file.href, file.kind, file.line) for file in files[2:]] == [(f"{PLACE}/{name}", "", -1) for name in names]
    assert (base64.b64decode(lines[0]), chunks.unpacked(lines[1])) == (PNG, "é\\x1b <b>")
    assert len(lines) == 2


def test_all_together_have_a_bound(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it is linked, unless it fits; what is small goes on."""
    monkeypatch.setattr(attachments, "TOTAL_MOST", 60)
    for number in range(3):
        keep(run, f"{number}.png", PNG)
    keep(run, "t.txt", b"abcd")
    kept = [*(told(f"{number}.png") for number in range(3)), told("t.txt", "text/plain")]
    files, lines = shown(run, *kept)
    assert [file.line for file in files] == [0, 1, -1, 2]
    assert len(lines) == 3
    assert all(file.href for file in files)


def test_those_of_attempts_and_repeats_are_told_apart(run: Path) -> None:
    """Each file once, the last attempt's first; of very many some, and how many more."""
    before = {"attempt": 1, "attachments": [told("1.bin", ""), told("both.bin", "")]}
    last = {"attempt": 2, "attachments": [told("2.bin", ""), told("both.bin", "")]}
    repeat = {"repeat": 1, "attachments": [told(f"r{number}.bin", "") for number in range(attachments.SHOWN + 7)]}
    test = a_test(attachments=last["attachments"], attempts=[before, last], repeats=[{"repeat": 0}, repeat])
    found: list[Group] = Shelf(Files(run, str)).of(test)
    assert [(group.label, len(group.files), group.left) for group in found] == [
        ("Attachments", 2, 0),
        ("Attachments of attempt 1", 1, 0),
        ("Attachments of repeat #r1", attachments.SHOWN, 7),
    ]
    assert Shelf(None).of(a_test()) == []


def test_what_is_gone_or_is_no_file_of_the_run_is_said(run: Path, tmp_path: Path) -> None:
    """No link leads out of the folder, and nothing is read there, nor waited for."""
    (tmp_path / "secret.txt").write_text("secret")
    (run / PLACE / "link.txt").symlink_to(tmp_path / "secret.txt")
    (run / PLACE / "folder").symlink_to(tmp_path, target_is_directory=True)
    (run / PLACE / "hard").mkdir()
    os.mkfifo(run / PLACE / "pipe.txt")
    for name in (
        "gone.txt",
        "../../../secret.txt",
        "folder/secret.txt",
        "link.txt",
        "pipe.txt",
        "hard",
        "a\0b",
        "\ud800",
        "x" * 300,
    ):
        ((file,), lines) = shown(run, told(name, "text/plain"))
        assert (file.href, file.kind, lines) == (None, "", []), name
        assert "in the run's directory" in file.said or "it cannot be read: " in file.said
        with pytest.raises(OSError, match=r".*"):
            opened(run, f"{PLACE}/{name}")
    for odd in ("/etc/passwd", "attachments", "other/a/b", None, 3, ""):
        with pytest.raises(OSError, match=r".*"):
            opened(run, odd)
    # A folder of runs may itself be reached by a link.
    keep(run, "t.txt", b"text")
    (tmp_path / "way").symlink_to(run, target_is_directory=True)
    with opened(tmp_path / "way", f"{PLACE}/t.txt") as kept:
        assert kept.read() == b"text"
    assert shown(None, told())[0] == [Shown("picture.png", "image/png, 28 B")]


@pytest.mark.parametrize(
    ("url", "is_linked"),
    [
        ("https://wandb.ai/us/run/17?a=b&c#d", True),
        ("http://localhost:5000/", True),
        ("javascript:alert(1)", False),
        ("data:text/html,<script>alert(1)</script>", False),
        ("file:///etc/passwd", False),
        ("//evil.example/", False),
        ("https://a\u202egro.live/", False),
        ('https://a/"onclick="alert(1)', False),
        ("https://a/\nb", False),
        ("", False),
    ],
)
def test_addresses(url: str, is_linked: bool) -> None:
    """Those of the web are linked; of any other it is only told."""
    ((file,), _) = shown(None, {"name": "the run", "url": url})
    assert (file.href is not None) == is_linked
    assert shown(None, {"name": url, "url": url})[0][0].said == ""


@pytest.mark.parametrize("way", ["report.html", "deep/er/report.html", "run/report.html", "a:b/report.html"])
def test_links_lead_from_the_page_to_the_file(run: Path, tmp_path: Path, way: str) -> None:
    """Wherever the page is, and whatever the file is called."""
    keep(run, HOSTILE, b"text")
    page = tmp_path / way
    page.parent.mkdir(parents=True, exist_ok=True)
    link = Files.beside(page, run).link(f"{PLACE}/{HOSTILE}")
    assert not set("\"'<>#?&:\\ ") & set(link)
    assert urlsplit(link).scheme == ""
    assert (page.parent / unquote(link)).read_bytes() == b"text"


def test_hostile_names_are_text(run: Path) -> None:
    """In the page without its script, and in what the script draws from."""
    keep(run, HOSTILE, b"</script><script>alert(1)</script>")
    kept = [
        told(HOSTILE, f"text/{HOSTILE}"),
        {"name": HOSTILE, "url": f"https://a/{HOSTILE}"},
        {"name": "run", "url": "https://a/b?c&d"},
        told("gone.png"),
    ]
    text = render(a_report(a_test(attachments=kept)), files=Files.beside(run / "report.html", run))
    root = parsed(text)
    assert len(list(root.iter("script"))) == 5
    assert not list(root.iter("img"))
    (holder,) = (each for each in root.iter("div") if each.get("class") == "kept")
    links = [link.get("href") or "" for link in holder.iter("a")]
    assert (run / unquote(links[0])).is_file()
    assert links[1:] == ["https://a/b?c&d"]
    assert "it is no longer in the run's directory" in "".join(holder.itertext())
    ((_, files, _),) = details(root)[0]["kept"]
    assert [unescape(file[0]) == file[0] or "&lt;" in file[0] for file in files] == [True] * 4
    assert [file[2] for file in files] == [*links[:1], None, *links[1:], None]


def test_facts_are_in_the_details() -> None:
    """Beside the parameters."""
    root = parsed(render(a_report(a_test(facts={"checkpoint": "step-1", "<b>": "\x1b"}))))
    assert ["Facts", "checkpoint = step-1, <b> = \\x1b"] in details(root)[0]["facts"]


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.png", PNG, "image/png"),
        ("a.html", b"<script>", None),
        ("a.svg", b"<svg/>", None),
        ("a.xhtml", b"<html/>", None),
        ("a.js", b"alert(1)", "text/plain; charset=utf-8"),
        ("a.csv", b"a", "text/plain; charset=utf-8"),
        ("a.csv.gz", b"\x1f\x8b", None),
        ("a.html", PNG, "image/png"),
        ("a.pdf", b"%PDF-", None),
        ("a", b"a", None),
    ],
)
def test_how_files_are_sent(name: str, content: bytes, media_type: str | None) -> None:
    """As a picture or a text; all else is to be kept, not to be shown."""
    assert shown_as(content, name) == media_type


def test_a_file_is_sent_as_far_as_was_said(run: Path) -> None:
    """Its name breaks no header; what is appended meanwhile waits for the next time."""
    keep(run, "t.txt", b"abc")
    with Attached(opened(run, f"{PLACE}/t.txt"), 't\r\nX: y"é.txt') as file:
        headers = file.headers()
        with (run / PLACE / "t.txt").open("ab") as more:
            more.write(b"def")
        assert b"".join(file.pieces()) == b"abc"
    assert headers["Content-Length"] == "3"
    assert headers["Content-Disposition"] == "inline; filename*=UTF-8''t%0D%0AX%3A%20y%22%C3%A9.txt"
    assert "sandbox" in headers["Content-Security-Policy"]
