"""What a test records belongs to its item and its attempt, whoever says it, when, and under which id."""

from __future__ import annotations

import pytest
from support import Host, records

each_way = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])

TWINS = """
    import pytest

    class Word(pytest.Item):
        def __init__(self, *, word, **kwargs):
            super().__init__(**kwargs)
            self.word = word

        def runtest(self):
            assert self.word == "pass"

    class Words(pytest.File):
        def collect(self):
            for word in self.path.read_text().split():
                yield Word.from_parent(self, name="same", word=word)

    def pytest_collect_file(file_path, parent):
        if file_path.suffix == ".words":
            return Words.from_parent(parent, path=file_path)
"""
"""A collector that gives all its tests one name."""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_two_tests_of_one_id_are_two_results(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """None hides another's failure, in a resumed run neither."""
    cpu_host.write("conftest.py", TWINS)
    cpu_host.write("suite.words", "fail pass pass")
    run = cpu_host.pytest(*workers)
    expected = {"same": "failed", "same #2": "passed", "same #3": "passed"}
    assert (run.status, run.outcomes) == (1, expected)
    assert run.junit_outcomes == {"same": "failure", "same #2": "passed", "same #3": "passed"}
    again = cpu_host.pytest(*workers, f"--gpupool-resume={run.report['run']['id']}")
    assert (again.status, again.outcomes) == (1, expected)
    assert "3 of 3 results kept" in again.stdout


@each_way
def test_a_late_threads_metric_is_refused_with_its_tests_name(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """It is not that of the test which runs by then."""
    cpu_host.write(
        "test_suite.py",
        """
        import threading

        go, threads = threading.Event(), []

        def test_one(record_metric):
            def late():
                go.wait()
                record_metric("loss", 0.1)
            threads.append(threading.Thread(target=late))
            threads[0].start()

        def test_two(record_metric):
            record_metric("own", 1)
            go.set()
            threads[0].join()
        """,
    )
    run = cpu_host.pytest(*workers, "--gpupool-order=file")
    assert (run.status, run.metrics("test_one"), run.metrics("test_two")) == (0, {}, {"own": 1})
    assert "metric 'loss' of test_suite.py::test_one came after that test had ended, from a thread" in run.stdout


RETRYING = """
    import pytest
    from _pytest.runner import runtestprotocol

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for _ in range(3):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            if all(report.passed for report in reports):
                break
            item._initrequest()
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True
"""
"""A suite's own protocol: three tries, of which pytest hears the last one."""

REPEATING = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        if call.when != "call":
            return report
        for _ in range(2):
            if report.passed:
                break
            hook = item.ihook
            pytest.CallInfo.from_call(lambda: hook.pytest_runtest_teardown(item=item, nextitem=item.parent), "teardown")
            report.outcome = "retried"
            hook.pytest_runtest_logreport(report=report)
            item._initrequest()
            pytest.CallInfo.from_call(lambda: hook.pytest_runtest_setup(item=item), "setup")
            call = pytest.CallInfo.from_call(lambda: hook.pytest_runtest_call(item=item), "call")
            again = pytest.TestReport.from_item_and_call(item, call)
            report.outcome, report.longrepr = again.outcome, again.longrepr
        return report
"""
"""As pytest-retry does it: phases are repeated while the first report is made."""


@each_way
@pytest.mark.parametrize("conftest", [RETRYING, REPEATING], ids=["protocol", "report"])
def test_another_try_is_an_attempt(cpu_host: Host, conftest: str, workers: tuple[str, ...]) -> None:
    """Its metrics are its own; the last one counts, and those before are on record as what they were."""
    cpu_host.write("conftest.py", conftest)
    cpu_host.write(
        "test_suite.py",
        """
        tries = []

        def test_flaky(record_metric):
            tries.append(1)
            record_metric("try", len(tries))
            record_metric(f"only in {len(tries)}", 1)
            assert len(tries) == 3

        def test_hopeless(record_metric):
            record_metric("a", 1)
            assert False

        def test_fine(record_metric): record_metric("a", 1)
        """,
    )
    run = cpu_host.pytest(*workers, "--gpupool-order=file")
    assert (run.status, run.outcomes) == (
        1,
        {"test_flaky": "passed", "test_hopeless": "failed", "test_fine": "passed"},
    )
    assert run.metrics("test_flaky") == {"try": 3, "only in 3": 1}
    assert [run.tests[name]["attempt"] for name in run.outcomes] == [3, 3, 1]
    ends = [record for record in records(cpu_host.project) if record["record"] == "end"]
    assert [record["outcome"] for record in ends] == ["failed", "failed", "passed", *["failed"] * 3, "passed"]


TRIES = """
    import functools

    def retries(function):
        @functools.wraps(function)
        def tries(*args, **keys):
            for last in (False, False, True):
                try:
                    return function(*args, **keys)
                except AssertionError:
                    if last: raise
        return tries
"""


@each_way
def test_a_decorator_that_calls_the_test_again(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Nothing tells that this is another try: a metric that comes again is refused with what to do; that works."""
    cpu_host.write("tries.py", TRIES)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from tries import retries

        again, after, marked = [], [], []

        @retries
        def test_again(record_metric):
            again.append(1)
            record_metric("accuracy", len(again))
            assert len(again) == 3

        def test_after(record_metric):
            @retries
            def tried():
                after.append(1)
                assert len(after) == 3
                return len(after)

            record_metric("accuracy", tried())

        @pytest.mark.flaky(reruns=2)
        def test_marked(record_metric):
            marked.append(1)
            record_metric("accuracy", len(marked))
            assert len(marked) == 3
        """,
    )
    run = cpu_host.pytest(*workers, "--gpupool-order=file", companions=("rerunfailures",))
    assert run.outcomes == {"test_again": "failed", "test_after": "passed", "test_marked": "passed"}
    assert run.tests["test_again"]["message"] == (
        "metric 'accuracy' was recorded before in this test: give each its own name. Where a decorator or loop calls "
        "the test's function again, record once, after the last try; or have pytest-rerunfailures try again: each of "
        "its tries is an attempt with metrics of its own"
    )
    values = [run.metrics(name)["accuracy"] for name in run.outcomes]
    assert values == [1, 3, 3]
    assert [run.tests[name]["attempt"] for name in run.outcomes] == [1, 1, 3]


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_an_id_that_a_plugin_rewrites_doubles_nothing(cpu_host: Host, outcome: str) -> None:
    """A report under another id is the test's that ran."""
    cpu_host.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.nodeid = report.nodeid.replace("test_a", "a test called A")
            return report
        """,
    )
    cpu_host.write(
        "test_suite.py", f"def test_a(record_metric):\n    record_metric('m', 1)\n    assert {outcome == 'passed'}\n"
    )
    run = cpu_host.pytest()
    assert run.outcomes == {"test_a": outcome}, run.output
    assert run.metrics("test_a") == {"m": 1}
    assert run.status == int(outcome == "failed")
    assert list(run.junit_outcomes) == ["a test called A"]
