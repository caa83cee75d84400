"""Fixtures: what a test sees of the pool. A plugin of their own, which stays where ``-p no:gpupool`` is given.

PYTEST_DONT_REWRITE: the other plugin, which may have been loaded with ``-p``, has imported this one already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import pytest

from ..foreign import as_written  # noqa: F401 - before all others
from ..options import collection, declarations, options, role_end
from ..values.device import Device
from ..values.errors import GpupoolError, UsageProblem
from ..values.requirement import Requirement
from .fixture_types import Attach, Gpu, Measure, RecordFact, RecordMetric, RecordSample, RunScript, TorchRun
from .recording.recorder import Recorder, recorder_key
from .recording.refusal import Refusal

if TYPE_CHECKING:
    import os

    from ..leases.lease import Lease
    from ..metrics.metric import Metric
    from ..script.result import ScriptResult
    from ..values.verdicts import Kind

T = TypeVar("T")

_PLUGIN = "gpupool"
"""The name of the plugin of the pool."""

lease_key: pytest.StashKey[Lease] = pytest.StashKey()
"""What this process holds."""

_in_vain: pytest.StashKey[list[str]] = pytest.StashKey()


def be_off(config: pytest.Config, fail_on: frozenset[str]) -> None:
    """Register what stays where the pool is off: metrics go to JUnit."""
    record(config, Recorder(fail_on=fail_on))


def record(config: pytest.Config, recorder: Recorder) -> None:
    """Register the recorder, for the fixtures too, until pytest ends."""
    config.stash[recorder_key] = recorder
    config.pluginmanager.register(recorder, "gpupool-recorder")
    config.pluginmanager.register(Refusal(recorder), "gpupool-refusal")
    if recorder.set_ups is not None:
        config.pluginmanager.register(recorder.set_ups, "gpupool-set-ups")
    if recorder.logs.are_kept:
        config.pluginmanager.register(recorder.captured, "gpupool-captured")
    role_end.at_end(config, recorder.close)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the options where nobody else does: what is typed, or in the ini file, is in vain then, and no error."""
    if pluginmanager.is_blocked(_PLUGIN):
        declarations.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Be off where the plugin of the pool is switched off: metrics go to JUnit."""
    if early_config.pluginmanager.is_blocked(_PLUGIN):
        try:
            be_off(early_config, options.fail_on(early_config))
            early_config.stash[_in_vain] = options.given_in_vain(early_config)
        except UsageProblem as problem:
            raise pytest.UsageError(f"gpupool: {problem}") from None


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker: pytest's strict mode refuses unknown ones."""
    config.addinivalue_line(
        "markers",
        f"{Requirement.signature()}: what the test needs of pytest-gpupool's pool, and when it may run.",
    )
    config.addinivalue_line("markers", "gpupool_aggregate(aggregate): made by pytest_gpupool.aggregate.")
    try:
        collection.refuse_keyword(config)
        collection.add_scripts(config)
    except UsageProblem as problem:
        raise pytest.UsageError(f"gpupool: {problem}") from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a sweep file that is named, as an argument or by ``--gpupool-scripts``, which makes it one."""
    if file_path.suffix != ".toml":
        return None
    if not (parent.session.isinitpath(file_path) or collection.lists_scripts(parent.config, file_path)):
        return None
    from .items.sweeps import SweepFile

    return SweepFile.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what ``--gpupool-select`` does not choose."""
    if collection.selects(config):
        from .choosing import selection

        selection.deselect(config, items)


def pytest_runtest_logfinish() -> None:
    """Let go of the ports that the test was given, where it was given any."""
    if (ports := sys.modules.get("pytest_gpupool.leases.ports")) is not None:
        ports.release_all()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which options are given in vain."""
    return options.off_lines(config.stash.get(_in_vain, []), f"by -p no:{_PLUGIN}")


@pytest.fixture(scope="session")
def gpu(pytestconfig: pytest.Config) -> Gpu:
    """The device that this worker holds: ``gpu.device`` is ``cuda:0``, or ``cpu`` where there is no GPU."""
    lease = pytestconfig.stash.get(lease_key, None)
    recorder = pytestconfig.stash[recorder_key]

    def present_repeat() -> int:
        return 0 if recorder.repeat is None else recorder.repeat.number

    if lease is not None:
        return replace(describe(lease.devices), present_repeat=present_repeat)
    from ..devices import vendors

    return describe(vendors.visible_devices())


@pytest.fixture
def record_metric(request: pytest.FixtureRequest) -> RecordMetric:
    """Record a metric of this test: ``record_metric("accuracy", 0.91, higher_is_better=True, n=1000)``.

    Takes ints, floats, bools, enums of these, and NumPy and torch scalars. NaN and infinities are kept and fail the
    test as invalid; what is no number fails it at once. ``kind`` says what it is (``proportion``, ``mean``, ``time``,
    ``rate``, ``size``, ``score``), ``samples`` has a number per item, best by the item's id, and ``repeats`` has
    measurements of one and the same quantity. With ``reduce="sum"`` it is a cost, such as tokens or dollars, of which
    reports have the sum over the run.
    """
    from ..metrics import metric as metrics  # most workers' start is not held up by it

    recorder = request.config.stash[recorder_key]
    attempt = recorder.attempt_at(request.node)

    def record(
        name: str,
        value: object,
        *,
        kind: Kind | None = None,
        unit: str = "",
        higher_is_better: bool | None = None,
        n: int | None = None,
        samples: Iterable[object] | Mapping[object, object] | None = None,
        repeats: Iterable[object] | None = None,
        atol: float | None = None,
        rtol: float | None = None,
        reduce: Literal["sum"] | None = None,
    ) -> None:
        def made() -> Metric:
            return metrics.make(
                name,
                value,
                kind=kind,
                unit=unit,
                higher_is_better=higher_is_better,
                n=n,
                samples=samples,
                repeats=repeats,
                atol=atol,
                rtol=rtol,
                reduce=reduce,
            )

        _or_fail(lambda: recorder.metric(made(), attempt))

    return record


@pytest.fixture
def record_sample(request: pytest.FixtureRequest) -> RecordSample:
    """Record one item of this test: ``record_sample("q1", input=…, output="B", target="A", score=0)``.

    One line in a file of the run's directory; ``gpupool items`` and the HTML report show it. ``input``, ``output`` and
    ``target`` are any values that JSON has (arrays and scalars of NumPy and torch too), long ones are cut and marked.
    ``score``, and others by their names (``f1=0.5``), are numbers or bools. An id that a mapping given to
    ``record_metric(samples=…)`` has as well is the same item. Each id is recorded once.
    """
    recorder = request.config.stash[recorder_key]
    attempt = recorder.attempt_at(request.node)

    def record(
        id: object,
        *,
        input: object = None,
        output: object = None,
        target: object = None,
        score: object = None,
        **scores: object,
    ) -> None:
        __tracebackhide__ = True
        values = {"input": input, "output": output, "target": target}
        _or_fail(lambda: recorder.sample(id, attempt, values=values, score=score, scores=scores))

    return record


@pytest.fixture
def record_fact(request: pytest.FixtureRequest) -> RecordFact:
    """Record a short text of this test: ``record_fact("checkpoint", "step-4000")``.

    Reports show it, ``gpupool compare`` tells what differs; up to 1000 characters. So are the values of
    ``record_property``.
    """
    recorder = request.config.stash[recorder_key]
    attempt = recorder.attempt_at(request.node)

    def record(name: str, text: object) -> None:
        __tracebackhide__ = True
        _or_fail(lambda: recorder.fact(name, text, attempt))

    return record


@pytest.fixture
def attach(request: pytest.FixtureRequest) -> Attach:
    """Keep something of this test in the run's directory: ``attach(figure, "confusion")``.

    A path (``pathlib.Path``), whose file is copied; bytes; a text; what JSON has; a PIL image; a Matplotlib or Plotly
    figure; a pandas table; a URL, which is named alone. Reports name it, and a failure on the terminal.
    """
    recorder = request.config.stash[recorder_key]
    attempt = recorder.attempt_at(request.node)

    def keep(data: object, name: str | None = None) -> None:
        __tracebackhide__ = True
        _or_fail(lambda: recorder.attach(data, name, attempt))

    return keep


@pytest.fixture
def out_dir(request: pytest.FixtureRequest) -> Path:
    """This test's own folder in the run's directory: what lies there when the test ends is attached to it.

    Each attempt has a folder of its own; one in which nothing was written does not stay.
    """
    recorder = request.config.stash[recorder_key]
    return _or_fail(lambda: recorder.out_dir(recorder.attempt_at(request.node)))


@pytest.fixture
def run_script(request: pytest.FixtureRequest) -> RunScript:
    """Run a script, unmodified, on the worker's devices: ``run_script("evaluation_script.py", {"lr": 0.001})``.

    A relative path is in the folder of the test's file, else in the working directory, in which the script runs.
    ``params`` are written in a ``style``: ``json`` (``--params '{"lr": 0.001}'``), ``flags`` (``--lr 0.001 --flag``)
    or ``hydra`` (``lr=0.001``); ``args`` follow. ``timeout`` in seconds ends it with all that it has started. Its
    metrics are recorded: those that it writes as JSON to the file ``$GPUPOOL_METRICS``, or on its last line of output;
    ``metrics`` says what they are, and which it must give: ``{"accuracy": {"higher_is_better": True}}``.

    Raises:
        ScriptError: it cannot be run, has another exit status than 0, takes too long, or its metrics are none.
    """
    from ..script.running import Request
    from .items.scripts import run_in

    item = request.node
    attempt = request.config.stash[recorder_key].attempt_at(item)

    def run(
        path: str | os.PathLike[str],
        params: Mapping[str, object] | None = None,
        *,
        args: Sequence[object] = (),
        style: str = "json",
        timeout: float | str | None = None,
        env: Mapping[str, str] | None = None,
        metrics: Mapping[str, Mapping[str, object]] | None = None,
    ) -> ScriptResult:
        __tracebackhide__ = True
        folders = (item.path.parent, Path.cwd())
        wanted = Request(
            path=path, params=params, args=args, style=style, timeout=timeout, env=env, metrics=metrics, folders=folders
        )
        return run_in(item, attempt, wanted)

    return run


@pytest.fixture
def torchrun(request: pytest.FixtureRequest, gpu: Gpu) -> TorchRun:
    """Run a script in one rank for each device of the test: ``torchrun("train.py", {"lr": 0.001})``.

    By ``torch.distributed.run``, with a rendezvous at a free port of this worker. ``params``, ``args``, ``style``,
    ``timeout``, ``env`` and ``metrics`` are those of ``run_script``. A function that pickle takes is called in each
    rank, with ``args`` and ``params``, in a process group: NCCL on GPUs, Gloo on CPU slots; what it returns is in
    ``returned``, rank by rank. Where one rank fails all are ended, and its error comes first. The metrics are those of
    rank 0; ``reduce`` (``mean``, ``sum``, ``min``, ``max``, or a dict of these by metric) makes one of all ranks'.

    Raises:
        ScriptError: it cannot be run, a rank fails, it takes too long, or its metrics are none.
    """
    from ..script.ranks.job import Job
    from .items.scripts import own_threads, ranks_for, run_ranks_in

    item, held = request.node, request.config.stash.get(lease_key, None)
    attempt = request.config.stash[recorder_key].attempt_at(item)

    def run(
        script: str | os.PathLike[str] | Callable[..., object],
        params: Mapping[str, object] | None = None,
        *,
        nproc: int | None = None,
        args: Sequence[object] = (),
        style: str = "json",
        timeout: float | str | None = None,
        env: Mapping[str, str] | None = None,
        metrics: Mapping[str, Mapping[str, object]] | None = None,
        reduce: str | Mapping[str, str] | None = None,
    ) -> ScriptResult:
        __tracebackhide__ = True
        work = Job(
            target=script,
            ranks=ranks_for(item, nproc, gpu.count if gpu.is_gpu else None),
            port=gpu.free_port,
            params=params,
            args=args,
            style=style,
            timeout=timeout,
            env=env,
            threads=own_threads({} if held is None else held.environment),
            metrics=metrics,
            reduce=reduce,
            folders=(item.path.parent, Path.cwd()),
        )
        return run_ranks_in(item, attempt, work)

    return run


@pytest.fixture
def gpupool_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test, 63 bits: of its id, and of ``--gpupool-seed`` where that is given, else of 0.

    For generators that a test makes itself: ``jax.random.key(gpupool_seed)``, ``np.random.default_rng(gpupool_seed)``.
    """
    from .items.seeds import seed_key, seed_of

    return seed_of(request.config.stash.get(seed_key, 0), request.node.nodeid) >> 1


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Time a call, and record the median in seconds as a metric: ``measure(model, batch, name="latency")``.

    By CUDA's events where torch uses a GPU, with the L2 cache flushed before each call, else by ``perf_counter``.
    Calls are made for ``warmup`` seconds, one at the least, and do not count. Then they are repeated, at least 10 times
    and for ``min_time`` seconds, until half the width of the median's 95 % interval (by order statistics, see
    :func:`metrics.median.median`) is below ``rel_error`` times the median, or until ``max_time`` seconds or 1000
    samples are reached. Samples in which the device was seen throttled do not count. Returns the median.
    """
    from ..metrics.measurement import Plan
    from ..metrics.measurement import measure as measured_by

    recorder = request.config.stash[recorder_key]
    attempt = recorder.attempt_at(request.node)

    def measured(
        fn: Callable[..., object],
        *args: object,
        name: str = "latency",
        warmup: float = 0.1,
        min_time: float = 0.2,
        rel_error: float = 0.01,
        max_time: float = 10.0,
    ) -> float:
        limits = {"warmup": warmup, "min_time": min_time, "rel_error": rel_error, "max_time": max_time}
        plan = _or_fail(lambda: Plan(name=name, **limits))
        found = measured_by(lambda: fn(*args), plan, recorder.throttled_spans)
        _or_fail(lambda: recorder.metric(found.to_metric(name), attempt))
        return found.median().value

    return measured


def _or_fail(step: Callable[[], T]) -> T:
    """Do something with a metric, and fail the test where that is wrong."""
    __tracebackhide__ = True
    try:
        return step()
    except GpupoolError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)  # outside the handler, so that no traceback of ours is shown with it


def describe(devices: Sequence[Device]) -> Gpu:
    """Return the fixture's value for these devices."""
    is_gpu = bool(devices) and devices[0].is_gpu
    return Gpu(
        devices=[f"cuda:{number}" if is_gpu else "cpu" for number in range(len(devices))],
        ids=[device.id for device in devices],
        names=[device.name for device in devices],
        memory_total=devices[0].memory_total if devices else None,
        is_gpu=is_gpu,
    )
