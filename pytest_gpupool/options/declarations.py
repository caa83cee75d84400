"""Declarations: which options there are, and what their help says."""

from __future__ import annotations

import pytest

from ..records.store import LATEST
from ..values.verdicts import BAD, CONFIRM, ERROR, FAILING, RTOL
from . import collection

_KEPT = 20
FAIL_ON = ",".join(reversed(BAD))
"""What ``--gpupool-fail-on`` is where nobody says."""

# name, metavar, help; each has an ini twin with "_" for "-".
_VALUED = (
    (
        "gpupool-devices",
        "SPEC",
        "The devices to lease: 'auto' (every visible GPU, CPU slots where there is none; the default), 'cpu', or a "
        "list as in CUDA_VISIBLE_DEVICES (0,2 or GPU-8a5c,… or MIG-…).",
    ),
    ("gpupool-require", "N", "Fail at once (exit 69) unless the pool holds at least N GPUs or MIG instances."),
    (
        "gpupool-wait",
        "S",
        "The longest the run waits for its first lease, in seconds (default 3600; 0 tries once; exit 75).",
    ),
    ("gpupool-export", "HOW", "How CUDA_VISIBLE_DEVICES names a GPU: 'index' (default) or 'uuid'."),
    (
        "gpupool-lock-dir",
        "PATH",
        "Where the lock files lie (default: $GPUPOOL_LOCK_DIR, else a public place such as /run/lock). "
        "All runs of a host need the same.",
    ),
    ("gpupool-dir", "PATH", "Where records of runs are kept (default: .gpupool under rootdir)."),
    ("gpupool-json", "PATH", "Write the JSON report to this file."),
    ("gpupool-html", "PATH", "Write the HTML report, one file that works offline."),
    (
        "gpupool-source-url",
        "TEMPLATE",
        "Link tests to their sources in the HTML and Markdown reports: an address with {path}, {line}, {commit}, such "
        "as https://github.com/you/project/blob/{commit}/{path}#L{line}.",
    ),
    ("gpupool-markdown", "PATH", "Append a Markdown summary to this file, as for a CI job's summary."),
    ("gpupool-baseline", "PATH", "Compare metrics with this baseline file."),
    ("gpupool-reason", "TEXT", "Why, for the entries that --gpupool-update-baseline writes."),
    (
        "gpupool-error",
        "P",
        f"How likely a run of an unchanged suite may be red, over all its metrics (default {ERROR}).",
    ),
    (
        "gpupool-confirm",
        "N",
        f"How often a test is measured again at most where a metric seems to be worse (default {CONFIRM}; 0: never).",
    ),
    ("gpupool-sample", "S", "How often a worker samples its devices, in seconds (default 0.5; 0 = never)."),
    ("gpupool-slots", "N", "How many workers may share one device (default 1: exclusive)."),
    (
        "gpupool-order",
        "HOW",
        "'longest' (default, unless an option, plugin or conftest.py orders the tests): the longest test first, by "
        "earlier runs' durations; 'file': the order of collection.",
    ),
    ("gpupool-timeout", "S", "The longest one test may take, in seconds: set-up, call and tear-down."),
    (
        "gpupool-seed",
        "N",
        "Seed Python, NumPy, torch, CuPy and TensorFlow, where they are loaded, before each test, from N and its id.",
    ),
    (
        "gpupool-budget",
        "S",
        "Start no test whose expected end lies beyond so many seconds (or 90min, 2h) after the run's start.",
    ),
    (
        "gpupool-oom-retries",
        "N",
        "How often a test that ran out of memory is tried again, alone on its device in a fresh worker (default 1).",
    ),
    (
        "gpupool-machine-retries",
        "N",
        "How often a test whose device failed is tried again, on another device (default 1).",
    ),
    ("gpupool-repeats", "N", "How often each test is measured whose marker names no repeats (default 1)."),
    (
        "gpupool-shard",
        "I/N",
        "Run one of N parts of the tests, the I-th, on this machine ('auto': as the CI system's variables say); "
        "'gpupool merge' makes one run of them.",
    ),
    (
        "gpupool-durations",
        "FILE",
        "What is known of durations (default: durations.json in --gpupool-dir); a sharded run changes nothing of it.",
    ),
    (
        "gpupool-history",
        "PATH",
        "The store of metrics over runs, a SQLite file that this run is added to, and that charts and the placement "
        "check read (default: history.sqlite in --gpupool-dir, where that is there).",
    ),
    (
        "gpupool-engine",
        "NAME",
        "Where workers run: 'local' (default), 'slurm' (a job each, or a step each of the allocation that this is in) "
        "or 'ray' (an actor each of a running cluster).",
    ),
    (
        "gpupool-engine-args",
        "K=V[,…]",
        "What the site needs of the engine, such as --partition=gpu,--time=2:00:00; a comma in a value is doubled.",
    ),
    (
        "gpupool-busy-memory",
        "SIZE",
        "A GPU is busy with any compute process outside the pool, and with more than this of memory that no named "
        "process explains (default 512MiB). Graphics processes do not count.",
    ),
)

_FLAGS = (
    ("gpupool-allow-busy", "Lease busy GPUs all the same."),
    ("gpupool-plan", "Collect, print what the run would be like (makespan, GPU-hours, set-ups), and run nothing."),
    ("gpupool-isolate", "Run every test in a process of its own, unless its marker says isolate=False."),
    ("gpupool-affinity", "Pin a worker to the cores near its GPU."),
    (
        "gpupool-update-baseline",
        "Add this run to the baseline file: new metrics, and what is like before; not what has changed, and nothing of "
        "an incomplete run (exit 1).",
    ),
    (
        "gpupool-resume-anyway",
        "Resume also where sources have changed since that no test's recipe covers.",
    ),
    ("gpupool-live", "Show a live table of devices and tests."),
    (
        "gpupool-yield",
        "End workers after their present test while others wait for devices and this run has more than its share.",
    ),
)

NAMES = (*(name for name, *_ in (*_VALUED, *_FLAGS)), "gpupool-resume", "gpupool-fail-on")
"""Those that mean something only where the pool is on, without their dashes."""


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and its ini twin."""
    group = parser.getgroup(collection.GROUP, "exclusive GPUs for workers (pytest-gpupool)")
    for name, metavar, help_text in _VALUED:
        group.addoption(f"--{name}", metavar=metavar, default=None, help=help_text)
        parser.addini(name.replace("-", "_"), help_text, type="string", default=None)
    resume = (
        "Go on with an earlier incomplete run: only what has no final result yet runs, the rest is taken from its "
        "record. Without RUN the latest; where that is complete, or sources have changed, a new run starts."
    )
    group.addoption("--gpupool-resume", metavar="RUN", nargs="?", const=LATEST, default=None, help=resume)
    collection.add_options(parser)
    parser.addini("gpupool_resume", resume, type="string", default=None)
    parser.addini("gpupool_keep_runs", f"How many runs are kept on record (default {_KEPT}).", default=str(_KEPT))
    for name, help_text in _FLAGS:
        group.addoption(f"--{name}", action="store_true", default=None, help=help_text)
        parser.addini(name.replace("-", "_"), help_text, type="bool", default=False)
    fail_on = "Verdicts that fail a test: " + ", ".join(FAILING) + f" or none (default {FAIL_ON})."
    group.addoption("--gpupool-fail-on", metavar="KIND[,KIND…]", action="append", default=None, help=fail_on)
    parser.addini("gpupool_fail_on", fail_on, type="string", default=None)
    parser.addini("gpupool_rtol", f"The allowed relative change of a metric (default {RTOL}).", default=str(RTOL))
    parser.addini("gpupool", "Whether pytest-gpupool is on.", type="bool", default=True)
    parser.addini(
        "gpupool_paths",
        "Folders under rootdir: pytest-gpupool is on only where all arguments lie in one of them.",
        type="args",
        default=[],
    )
