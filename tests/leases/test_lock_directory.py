"""The lock directory is one where locks exclude, for all users of the host."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_gpupool.leases.lock_directory import lock_directory
from pytest_gpupool.values.errors import UsageProblem


class TestDirectory:
    """Where the lock files lie."""

    def test_the_option_comes_before_the_environment(self, tmp_path: Path) -> None:
        """Parents are made, and a directory that is there stays as it is."""
        environ = {"GPUPOOL_LOCK_DIR": str(tmp_path / "environment")}
        (tmp_path / "there").mkdir(mode=0o700)
        assert lock_directory(str(tmp_path / "a" / "option"), environ) == tmp_path / "a" / "option"
        assert lock_directory(str(tmp_path / "there"), environ) == tmp_path / "there"
        assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o700
        assert not (tmp_path / "environment").exists()
        assert lock_directory(None, environ) == tmp_path / "environment"

    def test_a_relative_path_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker may have another working directory."""
        monkeypatch.chdir(tmp_path)
        assert lock_directory("locks", {}) == tmp_path / "locks"

    @pytest.mark.parametrize("below", [".", "below"])
    def test_a_file_in_its_place(self, tmp_path: Path, below: str) -> None:
        """Or in the place of a parent; the run ends with status 4."""
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / below
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) in (
            f"the lock directory {path} is not a directory; choose one with --gpupool-lock-dir",
            f"the lock directory {path} cannot be made: Not a directory; choose one with --gpupool-lock-dir",
        )
        assert raised.value.exit_status == 4

    @pytest.mark.parametrize(
        ("setting", "directory"),
        [
            ("mount -t tmpfs none /dev/shm", "/dev/shm/gpupool"),
            ("mount -t tmpfs -o ro none /dev/shm", "$TMPDIR/gpupool"),
            (
                "mount -t tmpfs none /dev/shm && mkdir /dev/shm/gpupool"
                " && mount -t tmpfs -o mode=1777 none /dev/shm/gpupool && mount -o remount,ro /dev/shm",
                "/dev/shm/gpupool",
            ),
        ],
        ids=["shared memory", "cannot be written", "is there already"],
    )
    @pytest.mark.parametrize("variable", ["unset", "empty"])
    def test_without_a_choice(self, tmp_path: Path, setting: str, directory: str, variable: str) -> None:
        """Shared memory, else the temporary directory; where others lock in shared memory, everybody does."""
        source = (
            "import stat\nfrom pytest_gpupool.leases.lock_directory import lock_directory\n"
            "path = lock_directory(None)\nprint(path, oct(stat.S_IMODE(path.stat().st_mode)))\n"
        )
        environ = {name: value for name, value in os.environ.items() if name != "GPUPOOL_LOCK_DIR"}
        environ |= {"TMPDIR": str(tmp_path)} | ({"GPUPOOL_LOCK_DIR": ""} if variable == "empty" else {})
        shell = f'{setting} || exit 77; exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", source],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        if os.geteuid() != 0 or done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip("only root can have a shared memory of its own, and not in every container")
        assert done.stdout == f"{directory.replace('$TMPDIR', str(tmp_path))} 0o1777\n", done.stderr


class TestNetworkFileSystem:
    """A lock on a network file system may exclude nobody."""

    @pytest.fixture
    def mounts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Makes psutil see these mounts, by a stand-in for /proc."""
        proc = tmp_path / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "filesystems").write_text("nodev\ttmpfs\nnodev\tnfs4\nnodev\tfuse\n\text4\n")
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))

        def write(*lines: tuple[Path | str, str]) -> None:
            text = "".join(f"source {str(path).replace(' ', chr(92) + '040')} {kind} rw 0 0\n" for path, kind in lines)
            (proc / "self" / "mounts").write_text(text)

        return write

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "ceph", "cifs", "fuse.sshfs", "beegfs", "gpfs"])
    def test_it_is_refused(self, tmp_path: Path, mounts: Callable[..., None], kind: str) -> None:
        """The error names its kind and another place."""
        mounts(("/", "ext4"), (tmp_path, kind), ("/dev/shm", "tmpfs"))
        path = tmp_path / "locks"
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) == (
            f"the lock directory {path} lies on a network file system ({kind}), where locks do not exclude; "
            "choose one of this host with --gpupool-lock-dir, such as /dev/shm/gpupool"
        )

    def test_a_link_to_it_is_refused(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """Where it leads counts."""
        (tmp_path / "home").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "home")
        mounts(("/", "ext4"), (tmp_path / "home", "nfs4"))
        with pytest.raises(UsageProblem, match=r"lies on a network file system \(nfs4\)"):
            lock_directory(str(tmp_path / "link" / "locks"), {})

    def test_a_name_with_a_space(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """The kernel writes it in octal."""
        mounts(("/", "ext4"), (tmp_path / "my home", "nfs4"))
        with pytest.raises(UsageProblem, match=r"lies on a network file system \(nfs4\)"):
            lock_directory(str(tmp_path / "my home" / "locks"), {})

    def test_a_local_one_within_it_is_not(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """The innermost mount counts, not one of which the name is only the beginning."""
        mounts(("/", "ext4"), (tmp_path, "nfs4"), (tmp_path / "local", "ext4"), (tmp_path / "local/lo", "nfs4"))
        assert lock_directory(str(tmp_path / "local" / "locks"), {}).is_dir()

    def test_the_later_of_two_mounts_at_one_place_counts(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """It hides the earlier one."""
        mounts(("/", "ext4"), (tmp_path, "nfs4"), (tmp_path, "tmpfs"))
        assert lock_directory(str(tmp_path / "locks"), {}).is_dir()
        mounts(("/", "ext4"), (tmp_path, "tmpfs"), (tmp_path, "nfs4"))
        with pytest.raises(UsageProblem, match="nfs4"):
            lock_directory(str(tmp_path / "locks"), {})

    def test_where_nothing_is_known_nothing_is_refused(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """A container may hide its mounts."""
        mounts()
        assert lock_directory(str(tmp_path / "locks"), {}).is_dir()
