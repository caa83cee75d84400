"""Scripts without any test code: a file of them, and a call for one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from program import gpupool
from support import Host, Run, processes_of

SCRIPT = """
    import json, os, pathlib, sys, time
    params = json.loads(sys.argv[2])
    folder = pathlib.Path(sys.argv[4])
    folder.mkdir(exist_ok=True)
    (folder / "model").write_text("weights")
    with open("ran", "a") as file:
        file.write(f"{params['lr']}\\n")
    print(json.dumps({"accuracy": params["lr"] * params["batch_size"], "loss": 1}))
"""

SWEEP = """
    [[eval]]
    script = "train.py"
    base = {model = "resnet50"}
    matrix = {lr = [1e-3, 1e-4], batch_size = [32, 64]}
    exclude = [{lr = 1e-4, batch_size = 64}]
    args = ["--save-dir", "{out}/{lr}-{batch_size}"]
    metrics = {accuracy = {higher_is_better = true, kind = "proportion"}}

    [[eval]]
    script = "summary.sh"
    stage = 1
    gpus = 0
    serial = true
    args = ["{out}"]
"""

IDS = [
    "train[lr=0.001-batch_size=32]",
    "train[lr=0.001-batch_size=64]",
    "train[lr=0.0001-batch_size=32]",
]


def prepare(host: Host) -> None:
    host.write("train.py", SCRIPT)
    host.write("summary.sh", 'echo "{\\"models\\": $(ls $1 | wc -l)}"\n')
    host.write("sweep.toml", SWEEP)


def passed(run: Run) -> dict[str, str]:
    """The outcomes of a run that went well."""
    assert run.status == 0, run.output
    return run.outcomes


@pytest.mark.parametrize(
    "args",
    [
        ("sweep.toml",),
        ("-n2", "sweep.toml"),
        ("--gpupool-scripts=sweep.toml",),
        ("-n2", "--gpupool-scripts=sweep.toml"),
    ],
    ids=["argument", "argument-n2", "option", "option-n2"],
)
def test_each_configuration_is_a_test(cpu_host: Host, args: tuple[str, ...]) -> None:
    """Nothing else is collected; later stages see what earlier ones have left."""
    prepare(cpu_host)
    cpu_host.write("test_other.py", "def test(): assert 0\n")
    run = cpu_host.pytest(*args)
    assert passed(run) == dict.fromkeys([*IDS, "summary"], "passed")
    assert {test["nodeid"] for test in run.report["tests"]} == {f"sweep.toml::{name}" for name in [*IDS, "summary"]}
    assert run.tests[IDS[1]]["params"] == {"model": "resnet50", "lr": 0.001, "batch_size": 64}
    assert run.metrics(IDS[1]) == {"accuracy": 0.064, "loss": 1}
    assert run.metrics("summary") == {"models": 3}
    assert run.junit[IDS[1]]["gpupool.metric.accuracy"] == "0.064"
    if "-n2" in args:
        run_dir = run.directory / ".gpupool" / "runs" / run.report["run"]["id"]
        assert sorted(path.name for path in (run_dir / "out").iterdir()) == ["0.0001-32", "0.001-32", "0.001-64"]


def test_other_arguments_are_collected_too(cpu_host: Host) -> None:
    """A file of scripts is one more."""
    prepare(cpu_host)
    cpu_host.write("test_other.py", "def test(): pass\n")
    run = cpu_host.pytest("-n1", "--gpupool-scripts=sweep.toml", "test_other.py")
    assert passed(run) == dict.fromkeys([*IDS, "summary", "test"], "passed")


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_the_ini_file_names_one_beside_all_others(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """It is collected where nothing is named, and not where something else is."""
    prepare(cpu_host)
    cpu_host.write("pytest.ini", "[pytest]\ngpupool_scripts = sweep.toml\n")
    cpu_host.write("sub/test_other.py", "def test(): pass\n")
    assert set(passed(cpu_host.pytest(*workers))) == {*IDS, "summary", "test"}
    assert set(passed(cpu_host.pytest(*workers, "sub"))) == {"test"}


def test_tests_are_chosen_as_others_are(cpu_host: Host) -> None:
    """By -k, by id, by parameter, by need; the last failed."""
    prepare(cpu_host)
    assert set(passed(cpu_host.pytest("sweep.toml", "-k", "train and 64"))) == {IDS[1]}
    assert set(passed(cpu_host.pytest(f"sweep.toml::{IDS[2]}"))) == {IDS[2]}
    assert set(passed(cpu_host.pytest("-n2", "sweep.toml", "--gpupool-select=lr=0.001,batch_size<=32"))) == {IDS[0]}
    either = ("--gpupool-select", "stage=1", "--gpupool-select", "lr<5e-4")
    assert set(passed(cpu_host.pytest("sweep.toml", *either))) == {IDS[2], "summary"}


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_selecting_is_for_all_tests(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Matrices too; what is misspelt is told."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from pytest_gpupool import matrix

        @matrix(lr=[0.1, 0.01], model=["a", "b"], fast=[True, False])
        def test(lr, model, fast): pass

        @pytest.mark.gpupool(gpus=0)
        def test_none(): pass
        """,
    )
    run = cpu_host.pytest(*workers, "--gpupool-select=lr=1e-2,model=a,fast=true", "--gpupool-select=gpus<1")
    assert set(passed(run)) == {"test[lr=0.01-model=a-fast=True]", "test_none"}
    assert cpu_host.pytest(*workers, "--gpupool-select=lr=7").status == 5
    run = cpu_host.pytest(*workers, "--gpupool-select=lrr=1")
    assert run.status == 4
    told = "gpupool: --gpupool-select: no test has a parameter 'lrr', nor is it a need; did you mean lr?"
    assert told in run.output
    assert "--gpupool-resume" not in run.output  # nothing was to run


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("-n1", "--gpupool-select=lr"), "--gpupool-select lr: give such as lr=0.001,model=a or gpus<=1"),
        (("--gpupool-select==1",), "--gpupool-select =1: give such as"),
        (("-k", "lr=0.1"), "-k 'lr=0.1': -k takes no '='; choose by parameter with --gpupool-select lr=0.1\n"),
    ],
)
def test_what_is_no_expression_is_refused(cpu_host: Host, args: tuple[str, ...], told: str) -> None:
    """With what to write."""
    cpu_host.write("test_suite.py", "def test(): pass\n")
    run = cpu_host.pytest(*args)
    assert run.status == 4
    assert f"gpupool: {told}" in run.output


def test_failures_are_shown_and_resumed(cpu_host: Host) -> None:
    """With the script's own words; what has passed is kept unless its script has changed."""
    prepare(cpu_host)
    summary = (cpu_host.project / "summary.sh").read_text()
    cpu_host.write("summary.sh", f"echo no such thing >&2; test -e again && {summary}")
    run = cpu_host.pytest("-n2", "sweep.toml")
    assert run.status == 1
    assert run.outcomes["summary"] == "failed"
    assert "summary.sh: ended with exit status 1 after" in run.stdout
    assert "    no such thing" in run.stdout
    assert "running.py" not in run.stdout
    cpu_host.write("again", "")
    run = cpu_host.pytest("sweep.toml", "--gpupool-resume=latest", "--gpupool-resume-anyway")
    assert passed(run) == dict.fromkeys([*IDS, "summary"], "passed")
    assert len((cpu_host.project / "ran").read_text().splitlines()) == 3
    assert run.metrics("summary") == {"models": 3}  # where the first run has left them


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_the_last_failed_run_alone(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """By --lf, whether the file is an argument or the option's."""
    prepare(cpu_host)
    cpu_host.write("summary.sh", "exit 1\n")
    failed = ("-pcacheprovider", *workers, "--lf")
    assert cpu_host.pytest(*failed, "--gpupool-scripts=sweep.toml").status == 1
    run = cpu_host.pytest(*failed, "sweep.toml" if workers else "--gpupool-scripts=sweep.toml")
    assert run.outcomes == {"summary": "failed"}, run.output
    assert len((cpu_host.project / "ran").read_text().splitlines()) == 3


def test_a_changed_script_runs_again(cpu_host: Host) -> None:
    """Its result depends on it."""
    prepare(cpu_host)
    cpu_host.write("summary.sh", "exit 1\n")
    assert cpu_host.pytest("sweep.toml").status == 1
    script = cpu_host.project / "train.py"
    script.write_text(script.read_text() + "\n# changed\n")
    cpu_host.write("summary.sh", "exit 0\n")
    run = cpu_host.pytest("sweep.toml", "--gpupool-resume", "--gpupool-resume-anyway")
    assert passed(run) == dict.fromkeys([*IDS, "summary"], "passed")
    assert len((cpu_host.project / "ran").read_text().splitlines()) == 6


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_wrong_file_is_an_error_with_its_line(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """No test runs."""
    prepare(cpu_host)
    cpu_host.write("sweep.toml", SWEEP.replace("stage = 1", "stages = 1"))
    run = cpu_host.pytest(*workers, "sweep.toml")
    assert run.status in (1, 2)
    assert "sweep.toml, line 12: stages: there is no such key; did you mean stage?" in run.output
    assert not (cpu_host.project / "ran").exists()
    if not workers:
        run = cpu_host.pytest("--gpupool-scripts=none.toml")
        assert run.status == 4
        assert "gpupool: --gpupool-scripts=" in run.output


def test_a_baseline_and_a_plan(cpu_host: Host) -> None:
    """As for tests."""
    prepare(cpu_host)
    args = ("sweep.toml", "--gpupool-baseline=baseline.json")
    assert cpu_host.pytest(*args, "--gpupool-update-baseline").status == 0
    script = cpu_host.project / "train.py"
    script.write_text(script.read_text().replace('params["batch_size"],', 'params["batch_size"] * 0.5,'))
    run = cpu_host.pytest(*args)
    assert run.status == 1
    assert {name for name, outcome in run.outcomes.items() if outcome == "failed"} == set(IDS)
    status, out, _ = gpupool(cpu_host, "plan", "--json", "--", "-n2", "sweep.toml")
    assert status == 0
    assert json.loads(out)["tests"] == 4


def test_the_call_does_the_same(cpu_host: Host) -> None:
    """What has one value is the same for all; the exit status is pytest's, and the file stays."""
    cpu_host.write(
        "evaluate.py",
        """
        import json, sys
        params = json.loads(sys.argv[2])
        print(json.dumps({"x": params["lr"] * params["size"]}))
        sys.exit(params["model"] != "a b")
        """,
    )
    args = ("sweep", "evaluate.py", "lr=1e-3,1e-4", "size=32,64", "-n", "2")
    status, out, err = gpupool(cpu_host, *args, "model=a b", "--timeout=5m", "--", "--gpupool-json=report.json")
    assert (status, err) == (0, ""), out + err
    report = json.loads((cpu_host.project / "report.json").read_text())
    assert {test["nodeid"].partition("::")[2] for test in report["tests"]} == {
        f"evaluate[lr={lr}-size={size}]" for lr in ("0.001", "0.0001") for size in (32, 64)
    }
    assert report["tests"][0]["params"]["model"] == "a b"
    assert Path(report["run"]["rootdir"]) == cpu_host.project
    file = ".gpupool/sweeps/evaluate.toml"
    assert cpu_host.pytest(f"--gpupool-scripts={file}", "-k32").status == 0
    status, out, _ = gpupool(cpu_host, "sweep", "evaluate.py", "lr=1", "size=1", "model=b", "-n0")
    assert status == 1
    assert re.search(r"evaluate\.py: ended with exit status 1", out)
    assert not processes_of(cpu_host.lock_dir)


def test_a_file_that_was_edited_is_not_overwritten(cpu_host: Host) -> None:
    """It may be hours of somebody's work."""
    cpu_host.write("a.py", "print('{\"x\": 1}')\n")
    sweep, ends = ("sweep", "a.py", "-n0"), ("--", "--collect-only")
    assert gpupool(cpu_host, *sweep, "lr=1,2", *ends)[0] == 0
    assert gpupool(cpu_host, *sweep, "lr=1,3", *ends)[0] == 0
    file = cpu_host.project / ".gpupool/sweeps/a.toml"
    edited = file.read_text() + "timeout = 60\n"
    file.write_text(edited)
    status, _, err = gpupool(cpu_host, *sweep, "lr=1,2")
    assert status == 4
    assert "a.toml was edited since gpupool sweep made it, and is not overwritten: run it by pytest" in err
    assert file.read_text() == edited


def test_without_xdist_there_are_no_workers(cpu_host: Host) -> None:
    """None are asked for, or it is said why there are none."""
    cpu_host.write("a.py", "print('{\"x\": 1}')\n")
    for n, collect, told in (((), (), "2 passed"), (("-n0",), ("--collect-only",), "2 tests collected")):
        status, out, err = gpupool(cpu_host, "sweep", "a.py", "lr=1,2", *n, "--", "-p", "no:xdist", *collect)
        assert (status, err) == (0, ""), out + err
        assert told in out
    status, _, err = gpupool(cpu_host, "sweep", "a.py", "lr=1,2", "-n2", "--", "-p", "no:xdist")
    assert (status, err.count("gpupool: -n 2: workers are pytest-xdist's, which is switched off; ")) == (4, 1)
    site = cpu_host.write("site/sitecustomize.py", "import sys\nsys.modules['xdist'] = None\n").parent
    status, _, err = gpupool(cpu_host, "sweep", "a.py", "lr=1", "-n2", PYTHONPATH=str(site))
    assert (status, err.count("is not installed (pip install pytest-xdist); without -n")) == (4, 1)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["none.py", "lr=1"], "gpupool: there is no script none.py in "),
        (["a.py", "lr"], "gpupool: 'lr' is no parameter: write NAME=V,V…"),
        (["a.py", "lr=1,,2"], "gpupool: 'lr=1,,2' has a value that is empty: write NAME=V,V…"),
        (["a.py", "lr=1", "lr=2"], "gpupool: lr is given twice"),
        (["a.py", "lr=1", "--style=yaml"], "style: it is one of json, flags, hydra"),
        (["a.py", "lr=1", "--gpus=many"], "gpus: gpus must be a whole number"),
    ],
)
def test_a_wrong_call(cpu_host: Host, args: list[str], told: str) -> None:
    """It is refused before anything starts."""
    cpu_host.write("a.py", "")
    status, _, err = gpupool(cpu_host, "sweep", *args)
    assert status == 4
    assert told in err
    assert "Warning" not in err
    assert not (cpu_host.project / ".gpupool/sweeps").exists()
