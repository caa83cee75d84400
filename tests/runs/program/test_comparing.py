"""'gpupool compare' on what runs of pytest have left."""

from __future__ import annotations

from pathlib import Path

from program import gpupool
from support import Host


def test_of_real_runs(cpu_host: Host, tmp_path: Path) -> None:
    """By their ids and by 'latest'; and beside a baseline, on whichever side that is given."""
    cpu_host.write(
        "test_a.py",
        """
        from pathlib import Path
        def test_a(record_metric):
            value = 0.5 if Path("worse").exists() else 0.9
            samples = [value + (i - 4) / 100 for i in range(9)]
            record_metric("accuracy", value, higher_is_better=True, samples=samples)
        """,
    )
    first = cpu_host.pytest().report["run"]["id"]
    baseline = tmp_path / "baseline.json"
    assert gpupool(cpu_host, "baseline", "update", baseline)[0] == 0
    cpu_host.write("worse", "")
    cpu_host.pytest()
    for args in ((first, "latest"), (baseline, "report.json"), ("latest", baseline)):
        status, out, err = gpupool(cpu_host, "compare", *args)
        assert (status, err) == (
            1,
            f"gpupool: {baseline} is a baseline: latest is compared with it\n" * (args[0] == "latest"),
        )
        assert "REGRESSED  test_a.py::test_a  accuracy  0.9  0.5  -44.4%       1%  (-44 to -44%); p 0.002; n 9" in out
        assert "gpupool: 1 metric: 1 regressed" in out
    assert gpupool(cpu_host, "compare", baseline, first)[0] == 0
