"""Wrong options, wrong marks, wrong values and places that cannot be written: each said in a line, none a traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from made_pages import details, parsed
from program import gpupool
from support import Host, Run

ONE = "def test_one(): pass\n"


def said(run: Run) -> str:
    """What pytest says of wrong usage, in one line."""
    assert "Traceback" not in run.output
    assert "INTERNALERROR" not in run.output
    return " ".join(run.output.split())


def left(host: Host) -> set[str]:
    """What a run left in the project, beside what was there."""
    return {path.name for path in host.project.iterdir()} - {"pytest.ini", "test_suite.py"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no small file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


# Options


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--gpupool-devices=", "gpupool: --gpupool-devices=: give 'auto', 'cpu' or a list such as 0,2"),
        ("--gpupool-devices=7", "gpupool: --gpupool-devices=7: no device '7' here; there are: 0 (GPU-00000000-"),
        ("--gpupool-devices=0,,1", "gpupool: --gpupool-devices=0,,1: no device '' here"),
        ("--gpupool-devices=all", "gpupool: --gpupool-devices=all: no device 'all' here"),
        ("--gpupool-devices=0,0", "gpupool: --gpupool-devices=0,0 names GPU 0 twice"),
        ("--gpupool-devices=0,GPU-00000000", "names GPU 0 twice"),
        ("--gpupool-devices=GPU-0", "gpupool: --gpupool-devices=GPU-0: no device 'GPU-0' here"),
        ("--gpupool-require=two", "gpupool: --gpupool-require=two: give a whole number from 0"),
        ("--gpupool-require=-1", "gpupool: --gpupool-require=-1: give a whole number from 0"),
        ("--gpupool-require=1.5", "gpupool: --gpupool-require=1.5: give a whole number from 0"),
        ("--gpupool-wait=soon", "gpupool: --gpupool-wait=soon: give seconds from 0, or a time such as 90s, 5m or 2h"),
        ("--gpupool-wait=-1", "gpupool: --gpupool-wait=-1: give seconds from 0, or a time such as 90s, 5m or 2h"),
        ("--gpupool-wait=nan", "gpupool: --gpupool-wait=nan: give seconds from 0, or a time such as 90s, 5m or 2h"),
        ("--gpupool-wait=inf", "gpupool: --gpupool-wait=inf: give seconds from 0, or a time such as 90s, 5m or 2h"),
        ("--gpupool-export=name", "gpupool: --gpupool-export=name: give 'index' or 'uuid'"),
        ("--gpupool-busy-memory=lots", "gpupool: --gpupool-busy-memory=lots: give a size such as 512MiB or 0.1"),
        ("--gpupool-busy-memory=-1", "gpupool: --gpupool-busy-memory=-1: give a size such as 512MiB or 0.1"),
        ("--gpupool-busy-memory=", "gpupool: --gpupool-busy-memory=: give a size such as 512MiB or 0.1"),
        ("--gpupool-dir=", "gpupool: --gpupool-dir is empty: give a path"),
        ("--gpupool-lock-dir=", "gpupool: --gpupool-lock-dir is empty: give a path"),
        (
            "--gpupool-lock-dir=test_suite.py",
            "test_suite.py cannot be used: Not a directory; choose one with --gpupool-lock-dir",
        ),
        ("--gpupool-lock-dir=test_suite.py/locks", "test_suite.py/locks cannot be used: Not a directory; choose one"),
        ("--gpupool-json=", "gpupool: --gpupool-json is empty: give a path"),
        ("--gpupool-json=.", "is a directory: give the path of a file"),
        ("--gpupool-json=test_suite.py/report.json", "test_suite.py is not a directory: choose another path"),
    ],
)
def test_a_wrong_option_ends_the_run_before_it_begins(host: Host, option: str, message: str) -> None:
    """Exit 4, a line that names the option, its value and what it may be; nothing is written, nothing locked."""
    host.write("test_suite.py", ONE)
    run = host.pytest(option)
    assert run.status == 4, run.output
    assert message in said(run)
    assert left(host) == set()
    assert not list(host.lock_dir.glob("*"))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--gpupool-html=./report.json",), "--gpupool-json and --gpupool-html"),
        (("--gpupool-markdown=link",), "--gpupool-json and --gpupool-markdown"),
        (("--gpupool-baseline=hard",), "--gpupool-json and --gpupool-baseline"),
        (("--gpupool-durations=report.json",), "--gpupool-json and --gpupool-durations"),
        (("--gpupool-history=a", "--gpupool-html=sub/../a"), "--gpupool-html and --gpupool-history"),
        (("--junitxml=report.json", "-n2"), "--gpupool-json and --junitxml"),
    ],
)
def test_two_options_cannot_mean_one_file(host: Host, options: tuple[str, ...], names: str) -> None:
    """By whatever name: what was in it stays."""
    host.write("test_suite.py", ONE)
    host.project.joinpath("sub").mkdir()
    host.project.joinpath("report.json").write_text("kept")
    host.project.joinpath("link").symlink_to("report.json")
    host.project.joinpath("hard").hardlink_to(host.project / "report.json")
    run = host.pytest(*options)
    assert run.status == 4
    assert f"{names} are the same file, " in said(run)
    assert "give each one of its own" in said(run)
    assert host.project.joinpath("report.json").read_text() == "kept"


def test_a_device_takes_several_reports(host: Host) -> None:
    """As /dev/null does, of a run that is to write none."""
    host.write("test_suite.py", ONE)
    run = host.pytest("--gpupool-html=/dev/null", "--gpupool-markdown=/dev/null", "--junitxml=/dev/null")
    assert run.status == 0, run.output


def test_a_wrong_option_is_said_once_with_workers(host: Host) -> None:
    """The controller finds it, before any worker starts."""
    host.write("test_suite.py", ONE)
    run = host.pytest("-n4", "--gpupool-export=name")
    assert run.status == 4, run.output
    assert said(run).count("--gpupool-export=name") == 1
    assert "created:" not in run.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gpupool_wait = soon", "wait=soon: give seconds from 0, or a time such as 90s, 5m or 2h"),
        ("gpupool_export = name", "export=name: give 'index' or 'uuid'"),
        ("gpupool_devices = 7", "devices=7: no device '7' here"),
        ("gpupool = maybe", "gpupool: gpupool = maybe: give on or off"),
        ("gpupool_live = perhaps", "gpupool: gpupool_live = perhaps: give on or off"),
        (
            "gpupool_timout = 5m",
            "gpupool: the ini file has gpupool_timout, which is no option of pytest-gpupool; "
            "did you mean gpupool_timeout?",
        ),
        ("gpupool-json = a.json", "the ini file has gpupool-json, which is no option of pytest-gpupool; did you mean"),
        ("gpupool_xyzzyxyzzy = 1", "which is no option of pytest-gpupool: 'pytest --help' lists those that there are"),
    ],
)
def test_a_wrong_line_of_the_ini_file_ends_the_run(host: Host, line: str, message: str) -> None:
    """The ini file's values are checked as the command line's."""
    host.write("pytest.ini", f"[pytest]\n{line}\n")
    host.write("test_suite.py", ONE)
    run = host.pytest()
    assert run.status == 4, run.output
    assert message in said(run)


def test_the_ini_file_has_every_option_and_the_command_line_wins(host: Host) -> None:
    """Each option's twin is read; paths are relative to rootdir; what the command line says counts instead."""
    host.write(
        "pytest.ini",
        """
        [pytest]
        gpupool_devices = 1,2
        gpupool_require = 2
        gpupool_wait = 0
        gpupool_export = uuid
        gpupool_lock_dir = own-locks
        gpupool_dir = own-records
        gpupool_json = from-ini.json
        gpupool_busy_memory = 0.5
        gpupool_allow_busy = true
        """,
    )
    host.write("sub/test_suite.py", "import os\ndef test_one(): print(os.environ['CUDA_VISIBLE_DEVICES'])\n")
    assert host.driver is not None
    host.driver.processes(1, (815, 2**36))
    command = [arg for arg in host.command("-s", "sub/test_suite.py") if not arg.startswith("--gpupool-json")]
    by_ini = subprocess.run(command, cwd=host.project, env=host.environ(), capture_output=True, text=True, check=True)
    assert "gpupool: 2 GPUs (Stand-in GPU), 1 worker, one device each, CUDA_VISIBLE_DEVICES by uuid" in by_ini.stdout
    assert host.driver.uuids[1] in by_ini.stdout
    assert left(host) >= {"own-locks", "own-records", "from-ini.json"}
    assert ".gpupool" not in left(host)
    by_line = host.pytest(
        "-s",
        "sub/test_suite.py",
        "--gpupool-devices=3",
        "--gpupool-require=1",
        "--gpupool-export=index",
        "--gpupool-lock-dir=line-locks",
        "--gpupool-dir=line-records",
    )
    assert by_line.status == 0, by_line.output
    assert "gpupool: 1 GPU (Stand-in GPU), 1 worker, one device each, CUDA_VISIBLE_DEVICES by index" in by_line.stdout
    assert "\n3\n" in by_line.stdout.replace("test_suite.py ", "\n")
    assert left(host) >= {"line-locks", "line-records", "report.json"}


# Off


OFF = """
    import os

    def test_devices(gpu, record_metric):
        record_metric("accuracy", 0.5)
        assert "GPUPOOL_RUN" not in os.environ
        assert gpu.devices == ["cuda:0", "cuda:1"]
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_off_leases_nothing_and_writes_nothing(host: Host, workers: tuple[str, ...]) -> None:
    """With gpupool = off the fixtures work on what is visible, metrics go to JUnit, and no trace is left."""
    host.write("pytest.ini", "[pytest]\ngpupool = off\n")
    host.write("test_suite.py", OFF)
    run = host.pytest(*workers, environ=host.environ(CUDA_VISIBLE_DEVICES="2,3"))
    assert run.status == 0, run.output
    told = [line for line in run.stdout.splitlines() if "gpupool:" in line]
    assert told == ["gpupool: off here (by the ini file), --gpupool-json has no effect"]
    assert left(host) == {"junit.xml"}
    assert not host.lock_dir.exists()
    assert run.junit["test_devices"] == {"gpupool.metric.accuracy": "0.5"}


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_without_the_plugin_the_fixtures_stay(host: Host, workers: tuple[str, ...]) -> None:
    """With -p no:gpupool the same as with gpupool = off; its options, ini values and mark are known."""
    host.write("pytest.ini", "[pytest]\ngpupool_wait = 5m\naddopts = --strict-markers --strict-config\n")
    host.write(
        "test_suite.py", OFF.replace("def test_d", "import pytest\n    @pytest.mark.gpupool(gpus=2)\n    def test_d")
    )
    environ = host.environ(CUDA_VISIBLE_DEVICES="2,3")
    run = host.pytest("-p", "no:gpupool", *workers, environ=environ)
    assert run.status == 0, run.output
    told = [line for line in run.stdout.splitlines() if "gpupool:" in line]
    assert told == ["gpupool: off here (by -p no:gpupool), --gpupool-json has no effect"]
    assert left(host) == {"junit.xml"}
    assert not host.lock_dir.exists()
    assert run.junit["test_devices"] == {"gpupool.metric.accuracy": "0.5"}
    wrong = host.pytest("-p", "no:gpupool", "--gpupool-wait=soon", environ=environ)
    assert wrong.status == 4
    assert "gpupool: --gpupool-wait=soon: give seconds from 0" in said(wrong)


def test_the_plugin_alone_brings_its_fixtures(host: Host) -> None:
    """Where no plugin is loaded by itself."""
    host.write("test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    environ = host.environ()
    run = host.pytest("-p", "gpupool", "-W", "error", environ=environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert run.status == 0, run.output


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_paths_decide_whether_the_pool_is_used(host: Host, workers: tuple[str, ...]) -> None:
    """With gpupool_paths the pool is on where all arguments lie in one of the folders, and off elsewhere."""
    host.write("pytest.ini", "[pytest]\ngpupool_paths = evals more/evals\n")
    body = """
        import os

        def test_{0}(record_metric):
            record_metric("m", 1)
            assert ("GPUPOOL_RUN" in os.environ) is {1}
    """
    host.write("evals/test_on.py", body.format("on", True))
    host.write("more/evals/test_more.py", body.format("more", True))
    host.write("unit/test_off.py", body.format("off", False))
    off = host.pytest("unit", *workers)
    assert off.status == 0, off.output
    mixed = host.pytest("evals", "unit", "--deselect=evals/test_on.py::test_on", *workers)
    assert mixed.status == 0, mixed.output
    assert left(host) == {"junit.xml", "evals", "more", "unit"}
    assert not host.lock_dir.exists()
    on = host.pytest("evals/test_on.py::test_on", "more/evals", *workers)
    assert on.status == 0, on.output
    assert on.outcomes == {"test_on": "passed", "test_more": "passed"}


# Markers, metrics, properties


def test_a_wrong_mark_is_that_tests_error(host: Host) -> None:
    """An unknown key or a wrong type is one test's error, said in a line; the others run."""
    host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.gpupool(gpu=1)
        def test_key(): pass

        @pytest.mark.gpupool(priority="high")
        def test_type(): pass

        @pytest.mark.gpupool(2)
        def test_positional(): pass

        @pytest.mark.gpupool(gpus=-1)
        def test_negative(): pass

        @pytest.mark.gpupool(gpus=True)
        def test_bool(): pass

        def test_fine(): pass
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 1, run.output
    assert run.outcomes == dict.fromkeys(run.outcomes, "error") | {"test_fine": "passed"}
    messages = {name: test["message"] for name, test in run.tests.items()}
    assert messages["test_key"].startswith("gpupool: @pytest.mark.gpupool has no key 'gpu'; this version knows: ")
    assert messages["test_type"] == "gpupool: @pytest.mark.gpupool(priority='high'): priority must be a whole number"
    assert messages["test_positional"].startswith("gpupool: @pytest.mark.gpupool takes keys only, not 2")
    assert messages["test_negative"].startswith("gpupool: @pytest.mark.gpupool(gpus=-1)")
    assert messages["test_bool"].startswith("gpupool: @pytest.mark.gpupool(gpus=True)")
    assert all("\n" not in message for message in messages.values() if message)
    assert "Traceback" not in run.output


def test_a_wrong_metric_is_that_tests_failure(host: Host) -> None:
    """What is no number fails its test by name and type; NaN fails it as invalid and is kept."""
    host.write(
        "test_suite.py",
        """
        import numpy
        import pytest

        @pytest.mark.parametrize("value", ["0.9", None, [0.9], numpy.zeros(2)], ids=["str", "none", "list", "array"])
        def test_no_number(record_metric, value): record_metric("accuracy", value)

        def test_twice(record_metric):
            record_metric("accuracy", 0.9)
            record_metric("accuracy", 0.8)

        @pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
        def test_not_finite(record_metric, value): record_metric("loss", float(value))

        def test_name(record_metric): record_metric("", 1)

        def test_unit(record_metric): record_metric("time", 1, unit=3)

        def test_fine(record_metric): record_metric("accuracy", numpy.float32(0.5), n=numpy.int64(8))
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 1, run.output
    assert run.outcomes == dict.fromkeys(run.outcomes, "failed") | {"test_fine": "passed"}
    fragments = {
        "test_no_number[str]": "metric 'accuracy': a str is not a number",
        "test_no_number[none]": "metric 'accuracy': a NoneType is not a number",
        "test_no_number[list]": "metric 'accuracy': a list is not a number",
        "test_no_number[array]": "metric 'accuracy': a numpy.ndarray of shape (2,) is not one number",
        "test_twice": "metric 'accuracy' was recorded before in this test: give each its own name",
        "test_not_finite[nan]": "loss nan is invalid: it is not finite",
        "test_not_finite[inf]": "loss inf is invalid: it is not finite",
        "test_not_finite[-inf]": "loss -inf is invalid: it is not finite",
        "test_name": "the name of a metric is a non-empty text, not ''",
        "test_unit": "metric 'time': unit is a text such as 's' or 'TFLOP/s', not 3",
    }
    for name, fragment in fragments.items():
        message = run.tests[name]["message"]
        assert fragment in message
        assert "pytest_gpupool" not in message  # no traceback through our own code
    for value in ("nan", "inf", "-inf"):
        (metric,) = run.tests[f"test_not_finite[{value}]"]["metrics"]
        assert (metric["value"], metric["non_finite"], metric["verdict"]) == (None, value, "invalid")
    assert [metric["value"] for metric in run.tests["test_twice"]["metrics"]] == [0.9]
    assert [(metric["value"], metric["n"]) for metric in run.tests["test_fine"]["metrics"]] == [(0.5, 8)]
    assert run.report["summary"]["metrics"]["invalid"] == 3


def test_a_property_that_xdist_cannot_carry_loses_no_test(host: Host) -> None:
    """record_property with NumPy's own types arrives as plain numbers or text, under workers too."""
    host.write(
        "test_suite.py",
        """
        import pathlib
        import numpy
        import pytest

        @pytest.mark.parametrize("case", range(3))
        def test_numpy(record_property, case):
            record_property("m", numpy.float64(0.5))
            record_property("count", numpy.int64(3))
            record_property("path", pathlib.PurePosixPath("a/b"))
            record_property("nested", {"k": [numpy.float32(0.25)]})
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert len(run.outcomes) == len(run.junit) == 3
    for properties in run.junit.values():
        assert properties["m"] == "0.5"
        assert "3" in properties["count"]
        assert "a/b" in properties["path"]
        assert "0.25" in properties["nested"]


# Places


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill the file system to the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink(missing_ok=True)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_full_disk_costs_the_report_but_no_result(host: Host, small_disk: Path, workers: tuple[str, ...]) -> None:
    """Where the JSON report cannot be written the run says which and why, fails, and leaves no draft."""
    host.write("test_suite.py", "def test_one(record_metric): record_metric('accuracy', 0.5)\n")
    with full(small_disk):
        run = host.pytest(*workers, f"--gpupool-json={small_disk}/report.json")
        assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    assert run.status == 4, run.output
    assert f"the report {small_disk}/report.json could not be written: No space left on device" in said(run)
    assert "1 passed" in run.stdout
    assert "accuracy" in run.stdout


def test_a_full_disk_keeps_the_old_report(host: Host, small_disk: Path) -> None:
    """A report that is there already stays whole where the new one does not fit."""
    host.write("test_suite.py", ONE)
    report = small_disk / "report.json"
    report.write_text("the old one")
    with full(small_disk):
        run = host.pytest(f"--gpupool-json={report}")
    assert run.status == 4, run.output
    assert report.read_text() == "the old one"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_disk_that_fills_up_costs_the_records_but_no_result(
    host: Host, small_disk: Path, workers: tuple[str, ...]
) -> None:
    """Where the journals do not fit any more the run says so once and goes on; the report is complete."""
    host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("case", range(40))
        def test_case(record_metric, case):
            record_metric("accuracy", 0.5, unit="x" * 20_000)
        """,
    )
    run = host.pytest(*workers, f"--gpupool-dir={small_disk}/records")
    assert run.status == 0, run.output
    assert run.report["summary"]["passed"] == 40
    assert all(len(test["metrics"]) == 1 for test in run.report["tests"])
    assert "40 passed" in run.stdout
    text = said(run)
    assert f"records could not be kept: {small_disk}/records/runs/" in text
    assert "No space left on device" in text or "the disk is full" in text


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "workers"])
def test_a_disk_that_fills_up_costs_items_and_attachments_with_a_word(
    cpu_host: Host, small_disk: Path, workers: tuple[str, ...]
) -> None:
    """What was written before is there; what is not is counted, and said by who reads it; a file fails its test."""
    cpu_host.write(
        "test_suite.py",
        """
        def test_items(record_sample, attach):
            record_sample("first", score=1)
            for number in range(200):
                record_sample(number, input="x" * 2000, score=0)
            attach(b"x" * 300_000, "large")
        """,
    )
    run = cpu_host.pytest(*workers, f"--gpupool-dir={small_disk / 'gpupool'}", "--gpupool-html=report.html")
    assert "INTERNALERROR" not in run.output
    assert "attach: large cannot be kept: No space left on device" in run.stdout
    assert "warning: items could not be kept: " in run.stdout
    told = run.tests["test_items"]["items"]
    assert (told["count"], 0 < told["lost"] < 201) == (201, True)
    lost = f"{told['file']}: {told['lost']} of 201 items could not be written when they were recorded"
    directory = str(small_disk / "gpupool")
    status, out, err = gpupool(cpu_host, "items", "report.json", "--limit=0", "--dir", directory)
    assert (status, "  first " in out, lost in err) == (0, True, True)
    (test,) = details(parsed((cpu_host.project / "report.html").read_text()))
    assert test["facts"][0][1].startswith(f"not all are shown: {lost}")


def test_where_the_default_directory_cannot_be_made_the_run_keeps_no_records(host: Host) -> None:
    """A file where .gpupool should be is said in the header; tests, metrics and the blame of a crash still work."""
    host.write(".gpupool", "not a directory")
    host.write(
        "test_suite.py",
        "import os\ndef test_a(record_metric): record_metric('m', 1)\ndef test_b(): os._exit(3)\ndef test_c(): pass\n",
    )
    run = host.pytest("-n1")
    assert run.status == 1, run.output
    assert f"gpupool: cannot keep the run's records in {host.project}/.gpupool" in said(run)
    assert "this run keeps no records" in run.stdout
    assert run.outcomes == {"test_a": "passed", "test_b": "crashed", "test_c": "passed"}
    assert [metric["value"] for metric in run.tests["test_a"]["metrics"]] == [1]


# pytest inside a test


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_pytest_inside_a_test_uses_that_tests_device(host: Host, workers: tuple[str, ...]) -> None:
    """A pytest that a test starts has the device of the test and waits for nobody; it is a run of its own on record."""
    host.write(
        "test_suite.py",
        """
        import pathlib
        import subprocess
        import sys

        def test_outer(gpu):
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "inner"]
            for more in {inner}:
                done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
                assert done.returncode == 0, done.stdout + done.stderr
            assert pathlib.Path("inner/ids").read_text().split() == [gpu.ids[0]] * len({inner})
        """.replace("{inner}", '[["-n2"]]' if workers else '[[], ["-n2"]]'),
    )
    host.write(
        "inner/test_inner.py",
        "def test_inner(gpu):\n    with open('inner/ids', 'a') as file: file.write(gpu.ids[0] + '\\n')\n",
    )
    run = host.pytest("test_suite.py", "--gpupool-devices=2,3", *workers)
    assert run.status == 0, run.output
    assert run.outcomes == {"test_outer": "passed"}
    assert len(list((host.project / ".gpupool/runs").iterdir())) == (2 if workers else 3)


@pytest.mark.parametrize("mark", ["memory='wrong'", "gpus=9", "timeout='soon'"])
def test_a_mark_that_cannot_be_is_one_error(make_host: Callable[..., Host], mark: str) -> None:
    """Of its test, before any fixture; not one more as other plugins tear down what they had not set up."""
    host = make_host(1)
    host.write("test_suite.py", f"import pytest\n@pytest.mark.gpupool({mark})\ndef test_one(tmp_path, caplog): pass\n")
    run = host.pytest("-n1")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "error"}
    assert " 1 error in " in run.output
    assert "KeyError" not in run.output


@pytest.mark.parametrize("option", ["-k", "-m"])
def test_a_bad_expression_is_told_as_without_workers(cpu_host: Host, option: str) -> None:
    """In pytest's own words, with its status."""
    cpu_host.write("test_suite.py", ONE)
    run, plain = cpu_host.pytest("-n2", option, "a b("), cpu_host.pytest("-n0", option, "a b(")
    assert (run.status, plain.status) == (4, 4), run.output
    (line,) = [line for line in plain.output.splitlines() if line.startswith("ERROR: Wrong expression passed to")]
    assert line in run.output.splitlines()
    assert "INTERNALERROR" not in run.output
