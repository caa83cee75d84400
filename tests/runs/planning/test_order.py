"""When a test may run, and which one goes first: stages, locks, serial tests, priority, and what earlier runs took."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from spans import KIND, Span, meetings, note_spans, order, remember, spans
from suites import prepare
from support import Host, Run, Running, records

PAUSE = "import time\nimport pytest\ndef pause(): time.sleep(0.03)\n"


def assert_all_passed(run: Run) -> None:
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}


def named(host: Host, prefix: str) -> list[Span]:
    """The spans of tests whose name begins so."""
    return [span for span in spans(host) if span.test.startswith(prefix)]


def attempts(host: Host, test: str) -> list[dict[str, Any]]:
    """The records of each time that a test began."""
    starts = [record for record in records(host.project) if record["record"] == "start"]
    return sorted((record for record in starts if record["test"].endswith(test)), key=lambda record: record["started"])


# Stages


def assert_stages_in_order(host: Host, *stages: str) -> None:
    for earlier, later in pairwise(stages):
        last = max(span.end or span.begin for span in named(host, earlier))
        assert all(span.begin >= last for span in named(host, later)), order(host)


def test_a_stage_begins_when_all_of_lower_ones_have_ended(host: Host) -> None:
    """Whatever the order of the file; a stage without tests is passed over, and no mark means stage 0."""
    note_spans(host)
    host.write(
        "test_suite.py",
        PAUSE
        + """
@pytest.mark.gpupool(stage=7)
def test_seventh(): pause()

@pytest.mark.gpupool(stage=1)
class TestFirst:
    @pytest.mark.parametrize("case", range(4))
    def test_case(self, case): pause()

    @pytest.mark.gpupool(gpus=2)
    def test_two(self): pause()

@pytest.mark.parametrize("case", range(4))
def test_zero(case): time.sleep(0.05 * case)

@pytest.mark.gpupool(stage=-1)
def test_before(): pause()
""",
    )
    run = host.pytest("-n3")
    assert_all_passed(run)
    assert len(run.outcomes) == 11
    assert_stages_in_order(host, "test_before", "test_zero", "TestFirst", "test_seventh")


CRASHES_ONCE = """
    import os
    import pytest
    from helpers import lines, say

    def crash_once():
        if not lines("crashed"):
            say("crashed")
            os._exit(3)
"""


def test_a_stage_waits_for_a_crashed_test_that_runs_again(host: Host) -> None:
    """Until its second attempt has ended, no test of the next stage begins."""
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""{CRASHES_ONCE}
    @pytest.mark.gpupool(stage=1)
    @pytest.mark.parametrize("case", range(3))
    def test_later(case): pass

    def test_other(): pass

    def test_crashes(): crash_once()
    """,
    )
    run = host.pytest("-n2", "--reruns=1", companions=("rerunfailures",))
    assert_all_passed(run)
    assert len(named(host, "test_crashes")) == 2
    assert_stages_in_order(host, "test_crashes", "test_later")
    assert_stages_in_order(host, "test_other", "test_later")


# Serial


def test_nothing_runs_beside_a_serial_test(host: Host) -> None:
    """Neither tests with other devices nor those without any; also where a serial test crashes and runs again."""
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""{CRASHES_ONCE}
    import time

    @pytest.mark.parametrize("case", range(8))
    def test_plain(case): time.sleep(0.03)

    @pytest.mark.gpupool(gpus=0)
    @pytest.mark.parametrize("case", range(3))
    def test_none(case): time.sleep(0.03)

    @pytest.mark.gpupool(serial=True)
    @pytest.mark.parametrize("case", range(2))
    def test_serial(case): time.sleep(0.03)

    @pytest.mark.gpupool(serial=True, gpus=2)
    def test_serial_on_two(gpu):
        assert gpu.count == 2
        time.sleep(0.03)

    @pytest.mark.gpupool(serial=True, priority=1)
    def test_serial_first():
        crash_once()
        time.sleep(0.03)
    """,
    )
    run = host.pytest("-n3", "--reruns=1", companions=("rerunfailures",))
    assert_all_passed(run)
    assert len(run.outcomes) == 15
    assert [pair for pair in meetings(spans(host)) if any("serial" in test for test in pair)] == []
    assert order(host)[:2] == ["test_serial_first"] * 2


# Locks


def test_tests_of_one_lock_never_meet(host: Host) -> None:
    """A test of several names meets none of either; those without a lock run meanwhile."""
    note_spans(host)
    host.write(
        "test_suite.py",
        PAUSE
        + """
@pytest.mark.gpupool(lock="port")
@pytest.mark.parametrize("case", range(4))
def test_port(case): pause()

@pytest.mark.gpupool(lock=["disk"])
@pytest.mark.parametrize("case", range(4))
def test_disk(case): pause()

@pytest.mark.gpupool(lock=("disk", "port"))
@pytest.mark.parametrize("case", range(2))
def test_both(case): pause()

@pytest.mark.gpupool(lock="disk", gpus=2)
def test_disk_on_two(gpu):
    assert gpu.count == 2
    pause()
""",
    )
    assert_all_passed(host.pytest("-n4"))
    assert meetings([*named(host, "test_port"), *named(host, "test_both")]) == []
    assert meetings([*named(host, "test_disk"), *named(host, "test_both")]) == []


def test_tests_of_different_locks_do_meet(host: Host) -> None:
    """A lock keeps nobody away but those who share it."""
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from helpers import together

        @pytest.mark.gpupool(lock="a")
        def test_a(): together(3)

        @pytest.mark.gpupool(lock="b")
        def test_b(): together(3)

        def test_free(): together(3)
        """,
    )
    assert_all_passed(host.pytest("-n3"))


@pytest.mark.parametrize("reruns", [0, 1])
def test_a_crash_frees_the_lock(host: Host, reruns: int) -> None:
    """Others of its name run after it, and the second attempt, where there is one, meets none of them."""
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""{CRASHES_ONCE}
    import time

    @pytest.mark.gpupool(lock="port", priority=1)
    def test_crashes():
        crash_once()
        time.sleep(0.03)

    @pytest.mark.gpupool(lock="port")
    @pytest.mark.parametrize("case", range(3))
    def test_other(case): time.sleep(0.03)
    """,
    )
    run = host.pytest("-n2", f"--reruns={reruns}", companions=("rerunfailures",))
    others = {f"test_other[{case}]": "passed" for case in range(3)}
    assert run.outcomes == {"test_crashes": "passed" if reruns else "crashed", **others}
    assert run.status == (0 if reruns else 1)
    assert meetings(spans(host)) == []


def test_a_serial_test_waits_until_nobody_collects(cpu_host: Host) -> None:
    """A worker that comes late, too."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import time
        import pytest
        from patience import WORKER, lines, say, until

        if WORKER == "gw1":
            until(lambda: lines("first"), "the first test was never over")
            time.sleep(0.5)  # in which a serial test could begin
            say("collected")

        def test_first():
            say("first")

        @pytest.mark.gpupool(serial=True)
        def test_alone():
            assert lines("collected")
        """,
    )
    assert_all_passed(cpu_host.pytest("-n2"))


def test_a_serial_test_waits_until_nobody_ends(cpu_host: Host) -> None:
    """The processes of workers that were let go are gone, whatever they do at their ends."""
    prepare(cpu_host)
    cpu_host.write(
        "conftest.py",
        """
        import atexit
        import time
        from patience import WORKER, lines, say, until

        def pytest_collection_finish():
            say("collected", WORKER)

        def ends():
            until(lambda: {*lines("collected")} - {"gw0", "gw1"}, "no larger worker ever came")
            time.sleep(0.5)  # in which a serial test could begin
            say("ended")

        if WORKER in ("gw0", "gw1"):
            say("came")
            atexit.register(ends)
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import lines

        @pytest.mark.parametrize("case", range(4))
        def test_small(case): pass

        @pytest.mark.gpupool(serial=True, gpus=2)
        def test_alone():
            assert len(lines("ended")) == len(lines("came")) > 0
        """,
    )
    assert_all_passed(cpu_host.pytest("-n2"))


# Which is first

ONE_BY_ONE = """
    import pytest

    def pytest_collection_modifyitems(items):
        for item in items:
            item.add_marker(pytest.mark.gpupool(lock="the only one"))
    """


def run_one_by_one(host: Host, *args: str) -> Run:
    """Have two workers run the tests, one at a time, so that the plan's order is the order in which they run."""
    host.write("one_by_one.py", ONE_BY_ONE)
    return host.pytest("-n2", "-p", "one_by_one", *args)


def test_the_longest_of_the_last_run_goes_first(host: Host) -> None:
    """The first run learns, in the order of the file; the second starts the longest test first."""
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import time
        def test_short(): pass
        def test_long(): time.sleep(0.8)
        def test_middle(): time.sleep(0.25)
        """,
    )
    assert_all_passed(run_one_by_one(host))
    learned = json.loads((host.project / ".gpupool" / "durations.json").read_text())["tests"]
    assert set(learned) == {f"test_suite.py::test_{name}" for name in ("short", "long", "middle")}
    assert learned["test_suite.py::test_long"][KIND]["seconds"][0] >= 0.8
    assert_all_passed(run_one_by_one(host))
    assert order(host) == ["test_short", "test_long", "test_middle", "test_long", "test_middle", "test_short"]
    learned = json.loads((host.project / ".gpupool" / "durations.json").read_text())["tests"]
    assert len(learned["test_suite.py::test_long"][KIND]["seconds"]) == 2


MODULES = {
    "test_a.py": """
        import pytest

        def test_short(): pass
        def test_long(): pass
        def test_new(): pass

        @pytest.mark.parametrize("case", range(3))
        def test_case(case): pass
        """,
    "test_b.py": "def test_unknown(): pass\ndef test_unknown_too(): pass\n",
}
KNOWN = {
    "test_a.py::test_short": 1,
    "test_a.py::test_long": 10,
    "test_a.py::test_case[0]": 5,
    "test_a.py::test_case[1]": 2,
}
IN_FILE = [
    "test_short",
    "test_long",
    "test_new",
    *(f"test_case[{n}]" for n in range(3)),
    "test_unknown",
    "test_unknown_too",
]


def write_modules(host: Host) -> None:
    note_spans(host)
    for name, text in MODULES.items():
        host.write(name, text)
    remember(host, KNOWN)


def test_what_is_not_known_is_estimated_or_goes_first(host: Host) -> None:
    """By the mean of its function's other parameters, else of its module; where nothing is like it, before others."""
    write_modules(host)
    assert run_order(host) == [
        "test_unknown",
        "test_unknown_too",
        "test_long",  # 10 s
        "test_case[0]",  # 5 s
        "test_new",  # 4.5 s, the module's mean
        "test_case[2]",  # 3.5 s, its function's mean
        "test_case[1]",  # 2 s
        "test_short",  # 1 s
    ]


@pytest.mark.parametrize(
    ("args", "ini"), [(("--gpupool-order=file",), ""), ((), "gpupool_order = file")], ids=["option", "ini"]
)
def test_the_order_of_collection_where_the_user_wants_it(host: Host, args: tuple[str, ...], ini: str) -> None:
    """--gpupool-order=file, or its ini twin: durations change nothing."""
    write_modules(host)
    host.write("pytest.ini", f"[pytest]\n{ini}\n")
    assert run_order(host, *args) == IN_FILE


def test_the_command_line_overrules_the_ini_files_order(host: Host) -> None:
    """As every option does."""
    write_modules(host)
    host.write("pytest.ini", "[pytest]\ngpupool_order = file\n")
    assert run_order(host, "--gpupool-order=longest")[2] == "test_long"


@pytest.mark.parametrize("size", [1, 2])
def test_one_worker_keeps_the_order_of_the_file(host: Host, size: int) -> None:
    """Whatever earlier runs say, and which tests are to be alone: it gains nothing, and tests may build on each other.

    So do tests that need several devices each, where one worker has all that it may have.
    """
    write_modules(host)
    host.write("test_c.py", "import pytest\n@pytest.mark.gpupool(serial=True)\ndef test_alone(): pass\n")
    host.write("test_d.py", "def test_last(): pass\n")
    host.write(
        "of_size.py",
        f"""
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.gpupool(gpus={size}))
        """,
    )
    assert_all_passed(host.pytest("-n1", "-p", "of_size"))
    assert order(host) == [*IN_FILE, "test_alone", "test_last"]


def run_order(host: Host, *args: str) -> list[str]:
    run = run_one_by_one(host, *args)
    assert run.status == 0, run.output
    return order(host)


def test_priority_goes_before_duration(host: Host) -> None:
    """A short test of higher priority starts before a long one; equals go by duration."""
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import pytest

        def test_long(): pass

        @pytest.mark.gpupool(priority=-1)
        def test_longest(): pass

        @pytest.mark.gpupool(priority=2)
        class TestUrgent:
            def test_short(self): pass
            def test_longer(self): pass
        """,
    )
    names = {"test_long": 9, "test_longest": 99, "TestUrgent::test_short": 1, "TestUrgent::test_longer": 3}
    remember(host, {f"test_suite.py::{name}": seconds for name, seconds in names.items()})
    assert run_order(host) == ["TestUrgent::test_longer", "TestUrgent::test_short", "test_long", "test_longest"]


ODD = 'ü ☃ 😀 "quoted" \\ [x]::y / {z} \t%s'


def test_odd_characters_in_ids_are_learned_too(host: Host) -> None:
    """What a parameter's id may have comes back from the file as it went in."""
    note_spans(host)
    host.write("pytest.ini", "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n")
    host.write(
        "test_suite.py",
        f"""
        import time
        import pytest

        @pytest.mark.parametrize("case", [pytest.param(0, id="plain"), pytest.param(0.5, id={ODD!r})])
        def test_case(case): time.sleep(case)
        """,
    )
    assert_all_passed(run_one_by_one(host))
    assert_all_passed(run_one_by_one(host))
    learned = json.loads((host.project / ".gpupool" / "durations.json").read_text())["tests"]
    assert learned.keys() == {"test_suite.py::test_case[plain]", f"test_suite.py::test_case[{ODD}]"}
    assert [len(about[KIND]["seconds"]) for about in learned.values()] == [2, 2]
    assert ["plain" in test for test in order(host)] == [True, False, False, True]  # the odd one took longer


DAMAGED = {
    "bytes": (b"what \x00 is \xff this", "is damaged: it is not JSON"),
    "another file": (b'{"a": 1}', "is damaged: it is not a file of durations"),
    "parts": (
        b'{"format": "gpupool-durations", "version": 1, "tests": {"test_suite.py::test_a": {"Stand-in GPU": 3}}}',
        "is damaged: 1 part of it is not what it should be",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_of_durations_is_a_warning(host: Host, kind: str) -> None:
    """Nothing else: all tests run; the file is replaced, and kept beside the new one."""
    content, message = DAMAGED[kind]
    host.write("test_suite.py", "def test_a(): pass\ndef test_b(): pass\n")
    path = host.write(".gpupool/durations.json", "")
    path.write_bytes(content)
    run = host.pytest("-n1")
    assert_all_passed(run)
    (warning,) = [line for line in run.stdout.splitlines() if "warning" in line]
    assert warning.startswith(f"gpupool: warning: {path} {message}")
    assert path.with_name("durations.json.damaged").read_bytes() == content
    assert len(json.loads(path.read_text())["tests"]) == 2


def test_durations_of_a_newer_version_are_left_alone(host: Host) -> None:
    """Its durations are used as far as they are understood, the file is not written, and a warning says so."""
    note_spans(host)
    host.write("test_suite.py", "def test_a(): pass\ndef test_b(): pass\n")
    remember(host, {"test_suite.py::test_a": 1, "test_suite.py::test_b": 5})
    path = host.project / ".gpupool" / "durations.json"
    newer = path.read_text().replace('"version": 1', '"version": 3, "colour": "blue"')
    path.write_text(newer)
    run = run_one_by_one(host)
    assert_all_passed(run)
    warnings = [line for line in run.stdout.splitlines() if "warning" in line]
    assert all(f"{path} is of version 3, which a newer pytest-gpupool wrote" in line for line in warnings)
    assert any(line.endswith("and those of this run are not kept") for line in warnings)
    assert path.read_text() == newer
    assert order(host) == ["test_b", "test_a"]


# Beside order


def test_a_worker_keeps_the_fixtures_that_it_has_set_up(host: Host) -> None:
    """Two modules with a costly fixture each, two workers: each is set up once."""
    note_spans(host)
    for module in ("a", "b"):
        tests = "".join(
            # In step, so that no worker is through with its module while the other has tests left.
            f"""
            def test_{number}(costly):
                say("begun-{module}")
                until(lambda: len(lines("begun-a")) > {number} and len(lines("begun-b")) > {number}, "out of step")
            """
            for number in range(5)
        )
        host.write(
            f"test_{module}.py",
            f"""
            import pytest
            from helpers import lines, say, until

            @pytest.fixture(scope="module")
            def costly(): say("set-ups", "{module}")
            {tests}
            """,
        )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert sorted((host.project / "set-ups").read_text().split()) == ["a", "b"]
    workers = {(test["nodeid"][:6], test["worker"]) for test in run.report["tests"]}
    assert len(workers) == 2


@pytest.mark.parametrize(("count", "workers", "devices"), [(1, 1, 1), (2, 1, 2), (2, 2, 2)])
def test_a_crashed_test_runs_again_elsewhere(
    make_host: Callable[..., Host], count: int, workers: int, devices: int
) -> None:
    """On another device where there is one, on the same where there is no other; always in another worker."""
    host = make_host(count)
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""{CRASHES_ONCE}
    from helpers import until

    def test_crashes(): crash_once()

    @pytest.mark.parametrize("case", range(3))
    def test_other(case): until(lambda: lines("crashed"), "nothing crashed")
    """,
    )
    run = host.pytest(f"-n{workers}", "--reruns=1", companions=("rerunfailures",))
    assert_all_passed(run)
    first, second = attempts(host, "test_crashes")
    assert first["worker"] != second["worker"]
    assert len({first["devices"][0], second["devices"][0]}) == devices
    assert run.tests["test_crashes"]["attempt"] == 2
    assert run.tests["test_crashes"]["devices"] == second["devices"]


# Wrong values

MARKS = {
    "gpus=-1": "gpus=-1): gpus must be a whole number from 0",
    "gpus=1.5": "gpus=1.5): gpus must be a whole number from 0",
    "gpus=True": "gpus=True): gpus must be a whole number from 0",
    "memory='lots'": "memory='lots'): memory must be bytes, a size such as '20GiB', or a fraction of",
    "memory=-1": "memory=-1): memory must be bytes",
    "memory=float('nan')": "memory=nan): memory must be bytes",
    "timeout=0": "timeout=0): timeout must be seconds above 0, or a time such as '90s'",
    "timeout='soon'": "timeout='soon'): timeout must be seconds above 0, or a time such as '90s'",
    "priority='high'": "priority='high'): priority must be a whole number",
    "serial=1": "serial=1): serial must be True or False",
    "lock=3": "lock=3): lock must be a name or a tuple of names",
    "lock=('a', '')": "lock=('a', '')): lock must be a name or a tuple of names",
    "stage=None": "stage=None): stage must be a whole number",
    "gpu=2": "has no key 'gpu'; this version knows: gpus, memory,",
    "2": "takes keys only, not 2: write gpupool(gpus=…)",
}


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_wrong_mark_is_that_tests_error(host: Host, workers: tuple[str, ...]) -> None:
    """In one line that names key and value; the others run."""
    tests = "".join(
        f"@pytest.mark.gpupool({mark})\ndef test_{number}(): open('ran', 'w')\n" for number, mark in enumerate(MARKS)
    )
    host.write("test_suite.py", f"import pytest\n{tests}\ndef test_fine(): pass\n")
    run = host.pytest(*workers)
    assert run.status == 1, run.output
    assert run.outcomes == {**{f"test_{number}": "error" for number in range(len(MARKS))}, "test_fine": "passed"}
    for number, expected in enumerate(MARKS.values()):
        message = run.tests[f"test_{number}"]["message"]
        assert message.startswith("gpupool: @pytest.mark.gpupool")
        assert expected in message
        assert "\n" not in message
        assert message in run.stdout
    assert not (host.project / "ran").exists()
    assert "Traceback" not in run.output


OPTIONS = {
    "--gpupool-slots=0": "give a whole number from 1",
    "--gpupool-order=x": "give 'longest' or 'file'",
    "--gpupool-timeout=0": "give seconds above 0, or a time such as 90s, 5m or 2h",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_option_ends_the_run(host: Host, option: str) -> None:
    """Exit 4 and a line that says what it may be, before anything is leased."""
    host.write("test_suite.py", "def test_one(): open('ran', 'w')\n")
    run = host.pytest("-n2", option)
    assert run.status == 4, run.output
    assert f"gpupool: {option}: {OPTIONS[option]}" in run.output
    assert "Traceback" not in run.output
    assert not (host.project / "ran").exists()
    assert not host.lock_dir.exists()


# Others that order tests

BACKWARDS = """
    def pytest_collection_modifyitems(items):
        items.reverse()
"""

GROWING = """
    import time
    import pytest

    @pytest.mark.gpupool(lock="one after the other")
    @pytest.mark.parametrize("case", range(4))
    def test_case(case): time.sleep(0.1 + 0.1 * (case == 2))
"""


@pytest.mark.parametrize(
    ("conftest", "args", "expected", "told"),
    [
        ("", (), [2], ""),
        (BACKWARDS, (), [3, 2, 1, 0], "gpupool: tests run in the order of a plugin or conftest.py"),
        (BACKWARDS, ("--gpupool-order=longest",), [2], ""),
        (BACKWARDS.replace("items.reverse()", "items[:] = items[1:]"), (), [2], ""),
    ],
    ids=["nobody", "conftest", "asked-for", "deselected"],
)
def test_the_order_of_others_is_kept(
    cpu_host: Host, conftest: str, args: tuple[str, ...], expected: list[int], told: str
) -> None:
    """In the second run, too, when it is known what takes longest, unless the user wants that first."""
    cpu_host.write("conftest.py", conftest)
    cpu_host.write("test_suite.py", GROWING)
    for _ in range(2):
        run = cpu_host.pytest("-n2", *args)
        assert_all_passed(run)
    begun = sorted(run.tests, key=lambda name: str(run.tests[name]["started"]))
    assert [int(name[-2]) for name in begun][: len(expected)] == expected
    assert told in run.output
    assert ("in the order of" in run.output) == bool(told)


def test_failed_first_stays_so(cpu_host: Host) -> None:
    """Which is why it was asked for."""
    cpu_host.write("test_suite.py", GROWING.replace("time.sleep", "assert case != 3 or time.sleep"))
    command = [word for word in cpu_host.command("-n2", "--ff") if word not in ("-p", "no:cacheprovider")]
    for _ in range(2):
        run = Running(cpu_host, command, cpu_host.environ()).finish()
        assert run.status == 1, run.output
    assert min(run.tests, key=lambda name: str(run.tests[name]["started"])) == "test_case[3]"
    assert "gpupool: tests run in the order of --ff" in run.output
