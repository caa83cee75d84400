"""A run's directory as one file: nothing is lost, and who unpacks a strange one gets nothing outside its folder."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from made_runs import attempt, write_run

from pytest_gpupool.records import archive
from pytest_gpupool.records.journal import Journal
from pytest_gpupool.shards.packing import is_packed, pack, unpack
from pytest_gpupool.values.errors import UsageProblem

RUN = "20261121T114652Z-9f3c2a"


def packed_by_hand(path: Path, members: Sequence[tarfile.TarInfo], about: object = None) -> Path:
    """An archive with these members, empty ones, behind the heading of a packed run."""
    heading = {"format": "gpupool-pack", "version": 1, "run": RUN} if about is None else about
    with tarfile.open(path, "w:gz") as file:
        text = json.dumps(heading).encode()
        first = tarfile.TarInfo("gpupool-pack.json")
        first.size = len(text)
        file.addfile(first, io.BytesIO(text))
        for member in members:
            file.addfile(member, io.BytesIO(b"\0" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0) -> tarfile.TarInfo:
    """A member of an archive."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    """All records and logs, from a directory of any name; neither what its scripts have written nor a link."""
    run = write_run(tmp_path, RUN, attempt("test_a.py::test_a"))
    for name in ("logs/gw0/test.log", "out/weights.bin", "compiled/gw0/kernel.so", "baseline.runs/one.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    odd = "attachments/no\\te\nü \udcff.txt"
    (run / "attachments").mkdir()
    (run / odd).write_bytes(b"odd")
    (run / "secret").symlink_to("/etc/passwd")
    packed = tmp_path / "packed" / "one.tar.gz"
    assert pack(run, RUN, packed) == packed.stat().st_size
    assert is_packed(packed)
    assert not is_packed(run / "plan.json")
    assert [path.name for path in packed.parent.iterdir()] == ["one.tar.gz"]
    into = tmp_path / "into"
    into.mkdir()
    again = unpack(packed, into)
    assert again == into / RUN
    files = {path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file()}
    assert files == {"gw0.jsonl", "plan.json", "logs/gw0/test.log", "baseline.runs/one.json", odd}
    assert all((again / name).read_bytes() == (run / name).read_bytes() for name in files)
    assert [test.nodeid for test in archive.load(again).results.tests] == ["test_a.py::test_a"]


@pytest.mark.parametrize(
    "bad",
    [
        member(f"{RUN}/../../evil"),
        member("../evil"),
        member("/tmp/evil"),
        member("other/evil"),
        member(RUN),
        member(f"{RUN}/folder", tarfile.DIRTYPE),
        member(f"{RUN}/link", tarfile.SYMTYPE, link="/etc/passwd"),
        member(f"{RUN}/link", tarfile.LNKTYPE, link="../../evil"),
        member(f"{RUN}/pipe", tarfile.FIFOTYPE),
        member(f"{RUN}/device", tarfile.CHRTYPE),
        member(f"{RUN}\\..\\evil"),
    ],
    ids=lambda bad: f"{bad.name} {bad.type.decode()}",
)
def test_what_no_packed_run_holds_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    """Before any of it is written."""
    into = tmp_path / "inside" / "into"
    into.mkdir(parents=True)
    packed = packed_by_hand(tmp_path / "bad.tar.gz", [bad])
    with pytest.raises(UsageProblem, match="as no packed run does: it is not unpacked"):
        unpack(packed, into)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != packed]


def test_its_size_is_bounded(tmp_path: Path) -> None:
    """In bytes, also of what compresses well, and in files; what is twice in it is damaged."""
    large = packed_by_hand(tmp_path / "large.tar.gz", [member(f"{RUN}/zeros", size=1_000_000)])
    assert large.stat().st_size < 10_000
    many = packed_by_hand(tmp_path / "many.tar.gz", [member(f"{RUN}/{number}") for number in range(5)])
    twice = packed_by_hand(tmp_path / "twice.tar.gz", [member(f"{RUN}/a"), member(f"{RUN}/a")])
    for number, (path, said) in enumerate(
        [(large, "more than 999999 bytes"), (many, "more than 4 files"), (twice, "be")]
    ):
        into = tmp_path / str(number)
        into.mkdir()
        with pytest.raises(UsageProblem, match=said):
            unpack(path, into, most_bytes=999_999, most_files=4)


def test_a_changed_byte_is_damage(tmp_path: Path) -> None:
    """Wherever it is, also where all members can still be read; and so is what somebody has put behind the end."""
    run = write_run(tmp_path, RUN, attempt("test_a.py::test_a"))
    packed = tmp_path / "one.tar.gz"
    pack(run, RUN, packed)
    whole = packed.read_bytes()
    read = gzip.decompress(whole)
    passed = read.replace(b'"passed"', b'"failed"')
    assert passed != read
    # What gzip says of its content is behind it: a sum of four bytes, and the length.
    changed = [gzip.compress(passed)[:-8] + whole[-8:], whole[:-1], whole[:-8], whole + whole, whole + b"more"]
    for number, content in enumerate([*changed, gzip.compress(read + b"x")]):
        packed.write_bytes(content)
        into = tmp_path / f"into{number}"
        into.mkdir()
        with pytest.raises(UsageProblem, match="no packed run, or damaged"):
            unpack(packed, into)


@pytest.mark.parametrize("size", ["-1", "-1024", "-99999999999999"])
def test_no_size_is_negative(tmp_path: Path, size: str) -> None:
    """It would make room for what comes next."""
    bad = member(f"{RUN}/a")
    bad.pax_headers = {"size": size}
    with pytest.raises(UsageProblem, match="a size in it is negative"):
        unpack(packed_by_hand(tmp_path / "bad.tar.gz", [bad]), tmp_path)


def test_a_heading_that_is_nested_too_deeply(tmp_path: Path) -> None:
    """For Python to read."""
    packed = tmp_path / "deep.tar.gz"
    with tarfile.open(packed, "w:gz") as file:
        text = b"[" * 100_000
        file.addfile(member("gpupool-pack.json", size=len(text)), io.BytesIO(text))
    with pytest.raises(UsageProblem, match="no packed run, or damaged"):
        unpack(packed, tmp_path)


def test_a_run_is_not_packed_into_itself(tmp_path: Path) -> None:
    """A record would be lost, or the last pack be in the next one."""
    run = write_run(tmp_path, RUN, attempt("test_a.py::test_a"))
    before = (run / "plan.json").read_bytes()
    for name in ("plan.json", "logs/one.tar.gz"):
        with pytest.raises(UsageProblem, match="give a place outside of it"):
            pack(run, RUN, run / name)
    assert (run / "plan.json").read_bytes() == before


def test_a_run_that_goes_on_is_not_packed(tmp_path: Path) -> None:
    """What is still to come would be missing."""
    run = write_run(tmp_path, RUN, attempt("test_a.py::test_a"))
    journal = Journal(run / "gw1.jsonl")
    journal.append('{"record":"setting","name":"cores","value":2}')
    with pytest.raises(UsageProblem, match=f"run {RUN} still goes on: pack it when it has ended"):
        pack(run, RUN, tmp_path / "one.tar.gz")
    journal.close()
    pack(run, RUN, tmp_path / "one.tar.gz")


def test_a_record_that_cannot_be_read_is_named(nobody: Path) -> None:
    """It is not the target's fault, of which nothing is left."""
    run = write_run(nobody, RUN, attempt("test_a.py::test_a"))
    (run / "logs").mkdir()
    (run / "logs" / "test.log").touch(0o000)
    with pytest.raises(UsageProblem, match=r"logs/test\.log cannot be read: Permission denied; without it"):
        pack(run, RUN, nobody / "packed" / "one.tar.gz")
    assert list((nobody / "packed").iterdir()) == []


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of a user who may not read every file, whom this process is meanwhile."""
    before, other = os.geteuid(), os.geteuid() or 65534
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chown(folder, other, -1)
        os.seteuid(other)
        try:
            yield Path(folder)
        finally:
            os.seteuid(before)


def test_a_heading_is_bounded(tmp_path: Path) -> None:
    """What describes a file is read into memory, however long it says that it is."""
    long = member(f"{RUN}/a")
    long.pax_headers = {"comment": "x" * 2_000_000}
    packed = packed_by_hand(tmp_path / "long.tar.gz", [long])
    with pytest.raises(UsageProblem, match="a heading in it is too long"):
        unpack(packed, tmp_path)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"format": "gpupool-pack", "version": 2, "run": RUN}, "is of a newer pytest-gpupool"),
        ({"format": "other", "version": 1, "run": RUN}, "is no packed run"),
        ({"format": "gpupool-pack", "version": 1, "run": "../x"}, "is no run"),
        ([], "is no packed run"),
    ],
)
def test_what_is_of_something_else(tmp_path: Path, about: object, said: str) -> None:
    """Said with what to do."""
    packed = packed_by_hand(tmp_path / "other.tar.gz", [], about)
    with pytest.raises(UsageProblem, match=said):
        unpack(packed, tmp_path)


def test_what_is_cut_off_or_no_archive(tmp_path: Path) -> None:
    """No more than a word."""
    run = write_run(tmp_path, RUN, attempt("test_a.py::test_a"))
    packed = tmp_path / "one.tar.gz"
    pack(run, RUN, packed)
    whole = packed.read_bytes()
    for number, content in enumerate([b"", b"text", whole[:60], whole[: len(whole) // 2], whole[:-200]]):
        packed.write_bytes(content)
        into = tmp_path / f"into{number}"
        into.mkdir()
        with pytest.raises(UsageProblem, match="no packed run, or damaged"):
            unpack(packed, into)


def test_a_directory_that_does_not_say_its_run(tmp_path: Path) -> None:
    """A packed run has a name by which others know it."""
    run = write_run(tmp_path, "copy", attempt("test_a.py::test_a"))
    with pytest.raises(UsageProblem, match="give its directory the run's id as a name"):
        pack(run, "copy", tmp_path / "one.tar.gz")
