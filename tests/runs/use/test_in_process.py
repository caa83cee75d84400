"""pytest that runs within a process of somebody else's: a program that calls it, or a test by pytester."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import COMPANIONS, LIMIT, Host

OTHERS_OFF = [f"-pno:{name}" for name in COMPANIONS]

PARTS_OF_PYTEST = """
    import pytest
    from _pytest.runner import runtestprotocol

    pytest_plugins = ["pytester"]

    TEST = "def test_func(gpu, record_metric): record_metric('a', 1)"

    def runs(item):
        reports = runtestprotocol(item, log=True)
        assert [report.outcome for report in reports] == ["passed"] * 3, [report.longreprtext for report in reports]

    def hooks(config):
        config.hook.pytest_report_header(config=config, start_path=config.rootpath)
        session = pytest.Session.from_config(config)
        config.hook.pytest_sessionstart(session=session)
        config.hook.pytest_sessionfinish(session=session, exitstatus=0)
        config.hook.pytest_unconfigure(config=config)

    WAYS = {
        "getitem": lambda pytester: runs(pytester.getitem(TEST)),
        "getitems": lambda pytester: [runs(item) for item in pytester.getitems(TEST)],
        "getmodulecol": lambda pytester: pytester.genitems([pytester.getmodulecol(TEST)]),
        "getpathnode": lambda pytester: pytester.getpathnode(pytester.makepyfile(TEST)),
        "inline_genitems": lambda pytester: pytester.inline_genitems(pytester.makepyfile(TEST)),
        "inline_run": lambda pytester: pytester.inline_run(pytester.makepyfile(TEST)).assertoutcome(passed=1),
        "parseconfig": lambda pytester: pytester.parseconfig("-n2"),
        "parseconfigure": lambda pytester: pytester.parseconfigure("-n2", "--gpupool-timeout=5"),
        "parseconfigure tx": lambda pytester: pytester.parseconfigure("--dist=load", "--tx=2*popen"),
        "collect-only": lambda pytester: pytester.parseconfigure("-n2", "--collect-only"),
        "hooks": lambda pytester: hooks(pytester.parseconfigure()),
        "hooks n2": lambda pytester: hooks(pytester.parseconfigure("-n2")),
        "hooks off": lambda pytester: hooks(pytester.parseconfigure("-ogpupool=off")),
    }

    @pytest.mark.parametrize("way", WAYS)
    def test_way(pytester, way):
        pytester.makeini("[pytest]\\ngpupool = on")
        WAYS[way](pytester)
"""


@pytest.mark.parametrize(
    "outer",
    [(), ("-n1",), ("-ogpupool=off",), pytest.param(("-pno:gpupool",), marks=pytest.mark.long)],
    ids=["plain", "n1", "off", "no"],
)
def test_pytester_calls_a_part_of_pytest(cpu_host: Host, outer: tuple[str, ...]) -> None:
    """No session has ended that never began, and nobody has asked xdist what its options mean."""
    cpu_host.write("test_suite.py", PARTS_OF_PYTEST)
    run = cpu_host.pytest("-rfE", *outer)
    assert run.status == 0, run.output


OFTEN = """
    import atexit, contextlib, gc, glob, io, os, signal, sys, threading, weakref
    import pytest

    class Spy:
        def __init__(self): self.seen = []

        @pytest.hookimpl(trylast=True)
        def pytest_sessionstart(self, session):
            manager = session.config.pluginmanager
            ours = [one for _, one in manager.list_name_plugin() if type(one).__module__.startswith("pytest_gpupool")]
            self.seen += [session, session.config, *ours]

        def pytest_runtest_logreport(self, report): self.seen.append(report)

    def run(*args):
        spy = Spy()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            pytest.main([*{off!r}, "-pno:cacheprovider", *args], plugins=[spy])
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        # xdist alone has some where a worker dies with --dist each.
        assert "-pno:gpupool" in args or "INTERNALERROR" not in out.getvalue(), out.getvalue()
        return [(type(one).__name__, weakref.ref(one)) for one in spy.seen]

    def marks():
        gc.collect()
        return (
            sorted(os.readlink(link) for link in glob.glob("/proc/self/fd/*") if os.path.lexists(link)),
            [thread.name for thread in threading.enumerate()],
            [signal.getsignal(number) for number in signal.valid_signals()],
            dict(os.environ),
        )

    def at_exit(*args):
        before = atexit._ncallbacks()
        run(*args)
        return atexit._ncallbacks() - before

    args = {args!r}
    run(*args)  # loads modules, and pytest's import hook holds the configuration with which each was loaded
    before, by_others = marks(), at_exit("-pno:gpupool", *(arg for arg in args if not arg.startswith("--gpupool")))
    assert at_exit(*args) == by_others
    seen = [one for _ in range(3) for one in run(*args)]
    assert (now := marks()) == before, [pair for pair in zip(before, now, strict=True) if pair[0] != pair[1]]
    assert seen and not (held := {{name for name, one in seen if one() is not None}}), held
"""


WAYS = {
    "plain": (),
    "n2": ("-n2",),
    "off": ("-ogpupool=off",),
    "each": pytest.param(("-n2", "--dist=each"), marks=pytest.mark.long),
    "stopped": pytest.param(("-n2", "-x"), marks=pytest.mark.long),
    "reports": ("-n2", "--gpupool-live", "--gpupool-html=a.html", "--gpupool-timeout=90"),
    "plain reports": ("--gpupool-live", "--gpupool-html=a.html", "--gpupool-timeout=90", "--gpupool-affinity"),
    "resumed": ("-n2", "--gpupool-resume", "--gpupool-resume-anyway"),
}


@pytest.mark.parametrize("args", WAYS.values(), ids=WAYS)
def test_a_program_that_calls_pytest_again_and_again(host: Host, args: tuple[str, ...]) -> None:
    """Nothing of a run that has ended is held, and nothing is left of it: threads, files, handlers, calls at exit."""
    host.write(
        "test_suite.py",
        """
        import os

        def test_a(gpu, record_metric): record_metric("a", 1)
        def test_crashes():
            if "PYTEST_XDIST_WORKER" in os.environ: os._exit(3)
        def test_fails(): assert 0
        """,
    )
    _run(host, OFTEN.format(off=OTHERS_OFF, args=args))


def test_what_was_loaded_is_set_aside_until_the_end(host: Host) -> None:
    """pytest looks for garbage among the rest alone; not where the pool is off, and nothing of others is undone."""
    host.write(
        "test_suite.py", "import gc, os\ndef test_it(): assert (gc.get_freeze_count() > 1000) is eval(os.environ['IS'])"
    )
    _run(
        host,
        f"""
    import gc, os, pytest, sys, types

    def run(is_set_aside, *args):
        os.environ["IS"] = str(is_set_aside)
        assert pytest.main([*{OTHERS_OFF!r}, "-pno:cacheprovider", *args]) == 0

    run(True)
    assert gc.get_freeze_count() == 0
    run(False, "-ogpupool=off")
    sys.modules["cupy"] = types.ModuleType("cupy")  # whose garbage may be on a device
    run(False)
    del sys.modules["cupy"]
    gc.freeze()
    run(True)
    assert gc.get_freeze_count() > 1000  # it is not ours to undo
""",
    )


PYTESTER = """
    import gc, weakref
    import pytest

    pytest_plugins = ["pytester"]
    seen = []

    class Spy:
        @pytest.hookimpl(trylast=True)
        def pytest_sessionstart(self, session):
            manager = session.config.pluginmanager
            ours = [one for _, one in manager.list_name_plugin() if type(one).__module__.startswith("pytest_gpupool")]
            seen.append([(type(one).__name__, weakref.ref(one)) for one in (session, session.config, *ours)])

    @pytest.mark.parametrize("number", range(3))
    def test_inner(pytester, number):
        pytester.makepyfile("def test_it(gpu, record_metric): record_metric('a', 1)")
        inner = pytester.inline_run(*{off!r}, "-pno:cacheprovider", *{args!r}, plugins=[Spy()])
        inner.assertoutcome(passed=1)

    def test_nothing_is_held():
        gc.collect()
        assert len(seen) == 3
        # pytest's import hook holds the configuration with which a module was loaded.
        held = [[name for name, one in run if one() is not None] for run in seen]
        assert len(list(filter(None, held))) <= 1, held
"""


OUTER: dict[str, tuple[str, ...]] = {
    "plain": (),
    "n1": ("-n1",),
    "off": ("-ogpupool=off",),
    "fixtures": ("-pno:gpupool",),
    "nothing": ("-pno:gpupool", "-pno:pytest_gpupool.worker.fixtures"),
}


@pytest.mark.parametrize("args", [(), ("-n2",)], ids=["inner-plain", "inner-n2"])
@pytest.mark.parametrize("outer", OUTER.values(), ids=OUTER)
def test_pytester_runs_pytest_again_and_again(cpu_host: Host, outer: tuple[str, ...], args: tuple[str, ...]) -> None:
    """Which loads the modules again each time that only the inner run has needed: nothing leads to those of before."""
    cpu_host.write("test_suite.py", PYTESTER.format(off=OTHERS_OFF, args=args))
    command = cpu_host.command(*outer)
    if outer == OUTER["nothing"]:  # which knows no option of ours
        command = [word for word in command if not word.startswith("--gpupool")]
    _finish(cpu_host, command)


def _run(host: Host, program: str) -> None:
    _finish(host, [sys.executable, str(host.write("program.py", program))])


def _finish(host: Host, command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=host.project, env=host.environ(), capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
