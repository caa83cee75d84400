"""Reports made for tests, without a run."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from support import SCHEMA

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.reports.json import build, schema_text
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.outcomes import OUTCOMES

Report = dict[str, Any]


REQUIRED: dict[str, list[str]] = {
    "software": json.loads(schema_text())["$defs"]["run"]["properties"]["software"]["required"],
    "resources": json.loads(schema_text())["$defs"]["test"]["properties"]["resources"]["required"],
}


UUIDS = ("GPU-00000000-0000-4000-8000-000000000000", "GPU-11111111-0000-4000-8000-000000000000")


any_text = st.lists(
    st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["|", "`", "```", "\n\n", "\r\n", "</pre>", "<script>alert(1)</script>", "]]>", "&lt;", "\ud800"])
    | st.sampled_from(
        ["\x00", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ufffe", "::", "[", "]", "{{ x }}", "\\|"]
    )
).map("".join)
"""Texts with all that XML, HTML, Markdown and templates may take for their own."""


_EMPTY = ("kind", "higher_is_better", "n", "atol", "rtol", "baseline", "change", "interval", "p", "cohort", "verdict")


def a_metric(name: str = "accuracy", value: float | None = 0.5, **changes: Any) -> Report:
    """A metric as the JSON report has it."""
    empty = dict.fromkeys(_EMPTY)
    odd = {} if value is not None else {"non_finite": "nan", "verdict": "invalid"}
    return {"name": name, "value": value, "unit": "", **empty, **odd, **changes}


def a_test(nodeid: str = "tests/test_a.py::test_a", outcome: str = "passed", **changes: Any) -> Report:
    """A test as the JSON report has it."""
    ran = outcome != "not-run"
    resources = dict.fromkeys(REQUIRED["resources"])
    return {
        "nodeid": nodeid,
        "run": "run-2",
        "params": {},
        "outcome": outcome,
        "attempt": 1,
        "worker": "gw0" if ran else None,
        "devices": [UUIDS[0]] if ran else [],
        "started": "2026-11-21T11:46:53.000000Z" if ran else None,
        "duration_s": 1.5 if ran else None,
        "phases": {"setup_s": None, "call_s": None, "teardown_s": None},
        "metrics": [],
        "resources": resources,
        "message": None,
        **changes,
    }


def a_report(*tests: Report, **run: Any) -> Report:
    """The JSON report of run-2, on two GPUs, with these tests."""
    facts = {
        "id": "run-2",
        "started": "2026-11-21T11:46:52.000000Z",
        "duration_s": 12.25,
        "exit_status": 1,
        "command": "pytest -n 2 evals/",
        "rootdir": "/home/alice/evals",
        "git": {"commit": "0123abcd", "branch": "main", "dirty": True},
        "host": {"name": "node1", "platform": "Linux-6.1", "cpu_count": 64, "memory_bytes": 2**40},
        "software": dict.fromkeys(REQUIRED["software"], "1.2"),
    }
    devices = [Device(id=id, kind="gpu", index=n, name="NVIDIA H200", memory_total=2**37) for n, id in enumerate(UUIDS)]
    report = build(facts, Pool(devices=tuple(devices)), Results())
    left = sum(test["outcome"] == "not-run" for test in tests)
    report["tests"] = list(tests)
    report["run"] |= {
        "collected": len(tests),
        "finished": len(tests) - left,
        "complete": bool(tests) and not left,
        **run,
    }
    report["summary"] |= {name: sum(test["outcome"] == name for test in tests) for name in OUTCOMES}
    SCHEMA.validate(report)
    return report
