"""The lock directory is one where locks exclude, for all users of the host, and nothing in it leads away."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_leases import NOBODY

from pytest_gpupool.leases.locking import file_systems
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.locking.place import Place, is_public, place
from pytest_gpupool.processes.kernel import containers
from pytest_gpupool.processes.kernel.containers import Mount
from pytest_gpupool.values.errors import UsageProblem

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that")


def in_namespace(command: str, source: str, *options: str, **environ: str) -> str:
    """What a program prints in a mount namespace of its own, in which that shell command was run before."""
    left = {name: value for name, value in os.environ.items() if name != "GPUPOOL_LOCK_DIR"}
    shell = f'{command} || exit 77; exec "$@"'
    done = subprocess.run(
        ["unshare", *(options or ("--mount",)), "sh", "-c", shell, "sh", sys.executable, "-c", source],
        env=left | environ,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("only root can have such a namespace, and not in every container")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


class TestPlace:
    """Where the lock files lie, the same for all users of the host."""

    def test_the_option_comes_before_the_environment(self, tmp_path: Path) -> None:
        """An empty value is none."""
        environ = {"GPUPOOL_LOCK_DIR": "/environment"}
        assert place("/option", environ) == Place(path=Path("/option"), told=True)
        assert place(None, environ) == place("", environ) == Place(path=Path("/environment"), told=True)

    def test_a_relative_path_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker may have another working directory."""
        monkeypatch.chdir(tmp_path)
        assert place("locks/../others", {}).path == tmp_path / "others"

    def test_without_a_choice_it_is_the_first_public_directory(self, tmp_path: Path) -> None:
        """Whatever this user's temporary directory is, and whether she may write there: others would lock elsewhere."""
        environ = {"TMPDIR": str(tmp_path), "GPUPOOL_LOCK_DIR": ""}
        private, open_to_all = tmp_path / "private", tmp_path / "public"
        private.mkdir()
        open_to_all.mkdir()
        open_to_all.chmod(0o1777)
        found = place(None, environ, [tmp_path / "none", private, open_to_all, Path("/dev/shm")])
        assert found == Place(path=open_to_all if os.geteuid() == 0 else Path("/dev/shm"), told=False)

    def test_where_there_is_none_it_says_what_to_do(self, tmp_path: Path) -> None:
        """The run ends with status 4."""
        with pytest.raises(UsageProblem) as raised:
            place(None, {}, [tmp_path])
        assert str(raised.value) == (
            f"no place for lock files: none of {tmp_path} is a directory of root's where every user may write (1777); "
            f"let root do 'mkdir -p {tmp_path} && chmod 1777 {tmp_path}', or choose a directory for all users with "
            "--gpupool-lock-dir or GPUPOOL_LOCK_DIR"
        )
        assert raised.value.exit_status == 4

    @pytest.mark.parametrize(("mode", "public"), [(0o1777, True), (0o777, False), (0o1775, False), (0o755, False)])
    @as_root
    def test_public_is_where_all_may_write_and_none_remove(self, tmp_path: Path, mode: int, public: bool) -> None:
        """Neither less nor more."""
        tmp_path.chmod(mode)
        assert is_public(tmp_path) is public

    @as_root
    def test_another_users_directory_is_not_public(self, tmp_path: Path) -> None:
        """Its owner may remove what others lock there; nor is a link, which may lead elsewhere tomorrow."""
        tmp_path.chmod(0o1777)
        (tmp_path / "link").symlink_to(tmp_path)
        assert not is_public(tmp_path / "link")
        os.chown(tmp_path, NOBODY, NOBODY)
        assert not is_public(tmp_path)

    PRINTS = (
        "import os, stat\nfrom pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
        "directory = lock_directory(None)\nos.close(directory.open('a.lock'))\n"
        "print(directory.path, oct(stat.S_IMODE((directory.path / 'a.lock').stat().st_mode)))\n"
    )

    @pytest.mark.parametrize(
        ("setting", "directory"),
        [
            ("mount -t tmpfs -o mode=1777 none /run/lock", "/run/lock"),
            ("mount -t tmpfs -o mode=755 none /run/lock && mount -t tmpfs -o mode=1777 none /var/tmp", "/var/tmp"),
        ],
        ids=["as on Debian", "as on Fedora"],
    )
    @as_root
    def test_on_hosts_of_both_kinds(self, tmp_path: Path, setting: str, directory: str) -> None:
        """In the directory itself: one of our own would be its maker's, who could remove others' locks."""
        assert in_namespace(setting, self.PRINTS, TMPDIR=str(tmp_path)) == f"{directory} 0o666\n"


class TestOpened:
    """A directory that the user names."""

    def test_it_is_made_for_all_users(self, tmp_path: Path) -> None:
        """Its parents are made as any; nobody sees it half made."""
        directory = lock_directory(str(tmp_path / "a" / "locks"), {})
        assert directory.path == tmp_path / "a" / "locks"
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o1777
        assert not directory.path.parent.stat().st_mode & stat.S_IWOTH
        assert [path.name for path in directory.path.parent.iterdir()] == ["locks"]

    def test_one_that_is_there_stays_as_it_is(self, tmp_path: Path) -> None:
        """It may be one user's own."""
        (tmp_path / "there").mkdir(mode=0o700)
        lock_directory(str(tmp_path / "there"), {})
        assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o700

    def test_where_others_could_remove_locks_it_is_refused(self, tmp_path: Path) -> None:
        """With what its owner can do."""
        (tmp_path / "locks").mkdir()
        (tmp_path / "locks").chmod(0o777)
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(tmp_path / "locks"), {})
        assert str(raised.value) == (
            f"in the lock directory {tmp_path / 'locks'} every user may remove another's lock; let its owner do 'chmod "
            f"1777 {tmp_path / 'locks'}', or choose another one with --gpupool-lock-dir"
        )

    @pytest.mark.parametrize("below", [".", "below"])
    def test_a_file_in_its_place(self, tmp_path: Path, below: str) -> None:
        """Or in the place of a parent; the run ends with status 4."""
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / below
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) == (
            f"the lock directory {path} cannot be used: Not a directory; choose one with --gpupool-lock-dir"
        )
        assert raised.value.exit_status == 4

    @pytest.mark.parametrize("where", ["itself", "a parent", "dangling"])
    def test_a_link_where_every_user_may_put_one_is_refused(self, tmp_path: Path, where: str) -> None:
        """It would have root make files wherever an attacker likes."""
        (tmp_path / "target").mkdir()
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o1777)
        (tmp_path / "shared" / "link").symlink_to(tmp_path / ("gone" if where == "dangling" else "target"))
        path = tmp_path / "shared" / "link" / ("locks" if where == "a parent" else "")
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) == (
            f"the lock directory {path} is reached by the link 'link', which lies where every user may put one; give "
            "the directory itself with --gpupool-lock-dir"
        )
        assert not (tmp_path / "gone").exists()
        assert list((tmp_path / "target").iterdir()) == []

    def test_a_link_where_nobody_else_may_write_is_followed(self, tmp_path: Path) -> None:
        """Absolute or relative, as /var/lock is."""
        (tmp_path / "target").mkdir()
        (tmp_path / "absolute").symlink_to(tmp_path / "target")
        (tmp_path / "relative").symlink_to("../" + tmp_path.name + "/./absolute")
        directory = lock_directory(str(tmp_path / "relative" / "locks"), {})
        os.close(directory.open("a.lock"))
        assert (tmp_path / "target" / "locks" / "a.lock").is_file()

    def test_a_circle_of_links(self, tmp_path: Path) -> None:
        """It ends."""
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(UsageProblem, match="cannot be used: Too many levels of symbolic links"):
            lock_directory(str(tmp_path / "a"), {})

    def test_one_that_has_vanished_is_made_again(self, tmp_path: Path) -> None:
        """Whoever needs a file in it first."""
        directory = lock_directory(str(tmp_path / "locks"), {})
        directory.path.rmdir()
        os.close(directory.open("a.lock"))
        assert directory.is_current()
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o1777

    def test_many_that_make_it_at_once_have_the_same_one(self, tmp_path: Path) -> None:
        """None of them stays in one that another has replaced."""
        source = (
            "import os, sys\nfrom pytest_gpupool.leases.locking.lock_directory import lock_directory\ninput()\n"
            "directory = lock_directory(sys.argv[1], {})\nos.close(directory.open(sys.argv[2]))\n"
        )
        for turn in range(5):
            path = tmp_path / str(turn) / "locks"
            started = [
                subprocess.Popen(
                    [sys.executable, "-c", source, str(path), f"{number}.lock"], stdin=subprocess.PIPE, text=True
                )
                for number in range(6)
            ]
            for process in started:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            assert [process.wait() for process in started] == [0] * 6
            assert sorted(one.name for one in path.iterdir()) == [f"{number}.lock" for number in range(6)]


@as_root
class TestOtherUsers:
    """What one user may do to another."""

    def test_a_link_of_an_attackers_makes_no_file(self, public: Path) -> None:
        """Not in the shared directory, and not below it; with the kernel's own protection or without."""
        shared = public / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        directory = lock_directory(str(shared), {})
        source = f"import os; os.setuid({NOBODY}); os.symlink('/etc/made', {str(shared / 'a.lock')!r})"
        subprocess.run([sys.executable, "-I", "-c", source], check=True)
        with pytest.raises(Exception, match=r"a\.lock is a link: remove it"):
            directory.open("a.lock")
        assert not Path("/etc/made").exists()

    @pytest.mark.parametrize("protected", [0, 1])
    def test_another_users_file_is_locked_whatever_the_kernel_protects(self, public: Path, protected: int) -> None:
        """``fs.protected_regular`` and the like forbid to "make" what is there in a sticky directory."""
        names = ("fs.protected_regular", "fs.protected_symlinks", "fs.protected_hardlinks")
        before = {name: _sysctl(name) for name in names}
        try:
            for name in names:
                _sysctl(name, protected)
            shared = public / "shared"
            shared.mkdir()
            shared.chmod(0o1777)
            (shared / "a.lock").touch()
            os.chown(shared / "a.lock", NOBODY, NOBODY)
            (shared / "a.lock").chmod(0o666)
            os.close(lock_directory(str(shared), {}).open("a.lock"))
        finally:
            for name, value in before.items():
                _sysctl(name, value)


class TestFileSystems:
    """Where a lock excludes everybody who should be excluded."""

    HERE = Path("/locks")

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "ceph", "cifs", "fuse.sshfs", "beegfs", "gpfs"])
    def test_a_network_is_refused(self, kind: str) -> None:
        """The error names its kind and another place."""
        with pytest.raises(UsageProblem) as raised:
            file_systems.refuse(self.HERE, mount(kind))
        assert str(raised.value) == (
            f"the lock directory /locks lies on a network file system ({kind}), where locks do not exclude; choose one "
            "of this host with --gpupool-lock-dir, such as /run/lock"
        )

    @pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs", "btrfs", "overlay", "zfs"])
    def test_a_local_one_is_silent(self, kind: str) -> None:
        """All is as it should be."""
        file_systems.refuse(self.HERE, mount(kind))
        assert file_systems.notes(self.HERE, mount(kind, point="/locks", root="/gpupool")) == []

    def test_any_other_is_warned_of(self) -> None:
        """Nobody knows all of them."""
        assert file_systems.notes(self.HERE, mount("9p", point="/locks", root="/gpupool")) == [
            "/locks lies on a file system of kind 9p, of which it is not known whether locks exclude there; choose a "
            "local one with --gpupool-lock-dir, such as /run/lock"
        ]
        assert file_systems.notes(self.HERE, None) == [
            "of /locks the file system is not known: on a network, locks do not exclude"
        ]

    def test_the_mount_is_that_of_the_open_directory(self, tmp_path: Path) -> None:
        """As the kernel has it, by number."""
        opened = os.open(tmp_path, os.O_RDONLY)
        found = containers.mount_of(opened)
        os.close(opened)
        assert found is not None
        assert tmp_path.is_relative_to(found.point)
        shared = os.open("/dev/shm", os.O_RDONLY)
        memory = containers.mount_of(shared)
        os.close(shared)
        assert memory is not None
        assert (memory.kind, memory.point) == ("tmpfs", "/dev/shm")


class TestContainers:
    """Locks in a file system that is a container's own exclude nobody outside of it."""

    PRINTS = (
        "import sys\nfrom pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
        "print(*lock_directory('/mnt/locks', {}).notes(), sep='\\n')\n"
    )
    TOLD = "locks are in /mnt/locks\n"
    ONLY_HERE = (
        "locks in /mnt/locks exclude inside this container only; mount the host's /run/lock here, or another directory "
        "that all share, and name it with GPUPOOL_LOCK_DIR\n"
    )

    @as_root
    @pytest.mark.parametrize("options", [("--mount",), ("--mount", "--pid", "--fork", "--mount-proc")], ids=str)
    def test_a_file_system_of_its_own_is_told(self, options: tuple[str, ...]) -> None:
        """In a mount namespace, or with one of pids as well."""
        setting = "mount -t tmpfs none /mnt"
        assert in_namespace(setting, self.PRINTS, *options) == self.TOLD + self.ONLY_HERE

    @as_root
    def test_a_folder_of_the_hosts_is_not(self, tmp_path: Path) -> None:
        """It was mounted there for that."""
        setting = f"mount --bind {tmp_path} /mnt"
        assert in_namespace(setting, self.PRINTS, "--mount") == self.TOLD

    def test_outside_of_a_container_nothing_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The root's own file system is everybody's."""
        monkeypatch.setattr(containers, "in_container", lambda: False)
        assert file_systems.notes(Path("/locks"), mount("ext4")) == []


def test_the_default_is_not_named() -> None:
    """Only another place is."""
    directory = LockDirectory(Place(path=Path("/dev/shm"), told=False))
    assert not any(line.startswith("locks are in") for line in directory.notes())


def mount(kind: str, *, point: str = "/", root: str = "/") -> Mount:
    """A mount of that kind."""
    return Mount((0, 1), root, point, kind)


def _sysctl(name: str, value: int | None = None) -> int:
    path = Path("/proc/sys") / name.replace(".", "/")
    try:
        if value is not None:
            path.write_text(str(value))
        return int(path.read_text())
    except OSError:
        pytest.skip(f"{name} cannot be set here")
