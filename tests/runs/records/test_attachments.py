"""What tests attach: in the run's directory, named in every report, whatever becomes of the test."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.values.texts import one_line

SUITE = """
    import os, pathlib, signal
    import pytest

    class Figure: pass

    def test_kinds(attach, out_dir, tmp_path):
        attach("text", "notes")
        attach(b"\\x89PNG\\r\\n\\x1a\\n...", "picture")
        attach({"a": [1, 2]}, "../../etc/passwd")
        source = tmp_path / "log.txt"
        source.write_text("log")
        attach(source)
        source.write_text("changed")
        attach(source)
        attach("https://example.org/run/17")
        (out_dir / "deep").mkdir()
        (out_dir / "deep" / "left.csv").write_text("a,b")
        (out_dir / "link").symlink_to("/etc/passwd")

    def test_nothing(out_dir):
        assert out_dir.is_dir()

    def test_fails(attach, out_dir):
        attach("why", "reason")
        (out_dir / "more.txt").write_text("more")
        (out_dir / "red\\x1b[31m\\n.txt").write_text("red")
        assert False

    @pytest.mark.parametrize("data, name", [(object(), None), ("x", ""), ("x", 3)])
    def test_wrong(data, name, attach):
        attach(data, name)

    class NoPath(os.PathLike):
        def __fspath__(self): raise RuntimeError("moved")

    @pytest.mark.parametrize("path", [pathlib.Path("/" + "x" * 5000), NoPath(), pathlib.Path("nul\\0")], ids=range(3))
    def test_no_path(path, attach): attach(path)

    def test_fifo(attach, out_dir):
        os.mkfifo(out_dir / "pipe")
        attach(out_dir / "pipe")

    def test_entry(attach, tmp_path):
        (tmp_path / "seen").write_text("entry")
        attach(*os.scandir(os.fsencode(tmp_path)))

    def test_odd_names(attach):
        for name in ("/etc/a\\0\\n.txt", "..", "../..", "\\ud800\\udcff", "日本", "y" * 300, ".hid"):
            attach("odd", name)
        attach("https://example.org/odd", "\\ud800")

    def test_gone(attach, tmp_path):
        attach(tmp_path / "gone.txt")

    def test_folder(attach, tmp_path):
        attach(tmp_path)

    def test_full(attach):
        class Full:
            pass
        import sys, types
        library = types.ModuleType("PIL.Image")
        class Image:
            def save(self, file, format):
                raise OSError(28, "No space left on device")
        library.Image = Image
        sys.modules["PIL.Image"] = library
        try:
            attach(Image(), "big")
        finally:
            del sys.modules["PIL.Image"]

    @pytest.mark.gpupool(isolate=True)
    def test_isolated(attach, out_dir):
        attach("inside", "note")
        (out_dir / "written.txt").write_text("before")
        os.kill(os.getpid(), signal.SIGKILL)

    def test_forked(attach, out_dir):
        if (pid := os.fork()) == 0:
            attach("child", "note")
            os._exit(0)
        os.waitpid(pid, 0)

    @pytest.mark.gpupool(repeats=2)
    def test_repeated(gpu, attach):
        attach(str(gpu.repeat), "number")

    @pytest.mark.parametrize("name", ["/" * 300 + "ü"])
    def test_long(name, out_dir):
        (out_dir / "x.txt").write_text("x")

    def test_killed(attach, out_dir):
        if os.environ.get("PYTEST_XDIST_WORKER"):
            attach("said", "note")
            (out_dir / "unsaid.txt").write_text("unsaid")
            import sys, types
            class Image:
                def save(self, file, format):
                    file.write(b"half")
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
            sys.modules["PIL.Image"] = library = types.ModuleType("PIL.Image")
            library.Image = Image
            attach(Image(), "half")
"""


def latest(host: Host) -> Path:
    """The directory of its last run."""
    return max((host.project / ".gpupool" / "runs").iterdir())


def kept(run: Path, test: dict[str, Any]) -> dict[str, str]:
    """What a report names of a test, by the name of the file; each is what it says of it."""
    found = {}
    for one in test.get("attachments", ()):
        if "url" in one:
            found[one["url"]] = ""
            continue
        data = (run / one["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["size"], one["sha256"])
        found[one["path"].split("/", 3)[3]] = data.decode(errors="replace")
    return found


def check_odd_names(directory: Path, tests: Mapping[str, Any]) -> None:
    """Names that no file can have are told as they were; two that become one get numbers."""
    assert kept(directory, tests["test_entry"]) == {"seen": "entry"}
    odd = ("etc_a_.txt", "attachment.txt", "attachment-2.txt", "attachment-3.txt", "attachment-4.txt", "hid.txt")
    assert kept(directory, tests["test_odd_names"]) == {
        **dict.fromkeys((*odd, f"{'y' * 117}.txt"), "odd"),
        "https://example.org/odd": "",
    }
    names = [one["name"] for one in tests["test_odd_names"]["attachments"]]
    assert names[:2] == ["/etc/a\0\n.txt", ".."]
    assert names[3:5] + names[-1:] == ["\\ud800\\udcff", "日本", "\\ud800"]


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_files_are_kept_and_named(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """With workers and without; of children, repeats, and of processes that are killed."""
    host = cpu_host
    host.write("test_it.py", SUITE)
    run = host.pytest(*workers, "--junitxml=junit.xml")
    for told in (
        "attach: nothing is known to be kept of a object",
        "attach: a name is a text, not ''",
        "attach: a name is a text, not 3",
        "gone.txt is not there, or is no file: attach it while it is",
        "is a folder: attach its files, or have them written to out_dir",
        "attach: big cannot be kept: No space left on device",
        "xxx… cannot be kept: File name too long",
        "is no path: RuntimeError: moved",
        "pipe is not there, or is no file",
    ):
        assert told in run.stdout
    directory, tests = latest(host), run.tests
    assert kept(directory, tests["test_kinds"]) == {
        "notes.txt": "text",
        "picture.png": "\ufffdPNG\r\n\x1a\n...",
        "etc_passwd.json": '{\n "a": [\n  1,\n  2\n ]\n}',
        "log.txt": "log",
        "log-2.txt": "changed",
        "https://example.org/run/17": "",
        "deep/left.csv": "a,b",
    }
    check_odd_names(directory, tests)
    types = {one["name"]: one.get("media_type") for one in tests["test_kinds"]["attachments"]}
    assert (types["notes"], types["picture"], types["deep/left.csv"]) == ("text/plain", "image/png", "text/csv")
    assert kept(directory, tests["test_fails"]) == {"reason.txt": "why", "more.txt": "more", "red\x1b[31m\n.txt": "red"}
    assert "\\x1b[31m\\n.txt" in run.stdout
    assert kept(directory, tests["test_isolated"]) == {"note.txt": "inside", "written.txt": "before"}
    assert kept(directory, tests["test_forked"]) == {"note.txt": "child"}
    assert [kept(directory, one) for one in tests["test_repeated"]["repeats"]] == [
        {"number.txt": "0"},
        {"number.txt": "1"},
    ]
    long = next(test for name, test in tests.items() if name.startswith("test_long"))
    assert kept(directory, long) == {"x.txt": "x"}
    assert "attachments" not in tests["test_nothing"]
    assert "attachments" not in tests["test_full"]
    if workers:
        assert tests["test_killed"]["outcome"] == "crashed"
        assert kept(directory, tests["test_killed"]) == {"note.txt": "said", "unsaid.txt": "unsaid"}
    folders = sorted(path.name.rpartition("-")[0] for path in (directory / "attachments").iterdir())
    assert not [name for name in folders if "nothing" in name or "full" in name]

    # The terminal under a failure, and JUnit, by pytest and by the program.
    place = os.path.relpath(directory, host.project)
    assert " Attachments -" in run.stdout
    assert all(f"\n{place}/{one_line(one['path'])}\n" in run.stdout for one in tests["test_fails"]["attachments"])
    assert gpupool(host, "report", "latest", "--junit", "again.xml")[0] == 0
    for name in ("junit.xml", "again.xml"):
        cases = {str(case.get("name")): case for case in ElementTree.parse(host.project / name).iter("testcase")}
        out = cases["test_fails"].findtext("system-out")
        named = [f"[[ATTACHMENT|{directory / one_line(one['path'])}]]" for one in tests["test_fails"]["attachments"]]
        assert str(out).splitlines() == named


def test_a_resumed_run_and_a_packed_one_have_the_files(cpu_host: Host) -> None:
    """Of the results that it keeps."""
    host = cpu_host
    host.write(
        "test_it.py",
        """
        import os
        def test_kept(attach): attach("first", "note")
        def test_failed(attach):
            attach("again", "note")
            assert os.environ.get("WELL") or 1 / 0
        """,
    )
    assert host.pytest().status == 1
    first = latest(host)
    run = host.pytest("--gpupool-resume", environ=host.environ(WELL="1"))
    assert run.status == 0
    for path in (first / "attachments").rglob("*.txt"):
        path.unlink()
    assert kept(latest(host), run.tests["test_kept"]) == {"note.txt": "first"}
    assert kept(latest(host), run.tests["test_failed"]) == {"note.txt": "again"}
    assert gpupool(host, "pack", "latest", "--output", "packed.tar.gz")[0] == 0
    again = json.loads(json.dumps(run.tests["test_kept"]["attachments"]))
    assert again[0]["path"].count(f".{first.name[-6:]}/") == 1
