"""The house's rule: modules import only downward, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_gpupool

PACKAGE = Path(pytest_gpupool.__file__).parent

LAYERS = {
    0: {
        "accepting", "asks", "attempt", "axes", "backlog", "baseline", "chart", "checks", "comparing",
        "comparison", "contrast", "decisions", "entries", "errors", "estimates", "faults", "fleet", "forming",
        "labels", "live", "live.board", "live.layout", "metrics", "model", "outcomes", "pace", "pile", "pivot",
        "placement", "planning", "recipe", "records", "requirement", "result", "results", "sampling",
        "sampling.figures", "shapes", "speedup", "statistics", "stealing", "timed", "units", "verdicts", "wording",
        "visible",
    },
    1: {
        "admission", "archive", "backdrop", "baselines", "cuda", "garbage", "guardian", "health", "history",
        "holders", "host", "journal", "judge", "leases", "live.detour", "live.screen", "live.tail", "locks",
        "past", "pool", "probe", "processes", "sampling.meter", "sampling.sampler", "sampling.samples",
        "sampling.strangers", "sampling.tree", "store", "watch", "wire",
    },
    2: {
        "__init__", "__main__", "alone", "arguments", "cli", "closing", "commands", "commands.baseline",
        "commands.compare", "commands.history", "commands.matrix", "commands.report", "commands.runs",
        "commands.scaling", "commands.schema", "commands.sources", "commands.trials",
        "controller", "crew", "distribution", "each", "endings", "facts", "fixtures", "gate", "interactor",
        "interrupts", "items", "live.displays", "live.lookout", "live.painter", "live.plugin", "matrices",
        "member", "nodes", "options", "patience", "phases", "plugin", "publish", "recipes", "recorder",
        "remote", "reports", "reports.columns", "reports.comparison", "reports.html", "reports.json", "reports.junit",
        "reports.markdown", "reports.page", "reports.rows", "reports.scaling", "reports.tables",
        "reports.terminal", "reports.words", "resume", "role", "scheduler", "testcases", "timekeeper", "worker",
    },
}  # fmt: skip
LAYER_OF = {module: layer for layer, modules in LAYERS.items() for module in modules}

ONLY_IMPORTERS = {"pynvml": "probe", "filelock": "locks", "rich": "live.painter"}


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Absolute names of what a module imports, those inside functions too, but not those for type checkers."""
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    is_package = (PACKAGE / name.replace(".", "/")).is_dir()
    parts = ["pytest_gpupool", *name.split(".")] if name != "__init__" else ["pytest_gpupool", ""]
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (1 if is_package else 0)
            base = ".".join(parts[: len(parts) - up]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_layer() -> None:
    """A new module is put into the table, and a removed one taken out."""
    assert set(modules()) == set(LAYER_OF)


def test_modules_import_only_downward() -> None:
    """No module imports one of a higher layer."""
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        for imported in imports(name, tree)
        if LAYER_OF.get(imported.removeprefix("pytest_gpupool."), -1) > LAYER_OF[name]
    ]
    assert not wrong


def test_the_rules_are_pure() -> None:
    """Layer 0 imports the standard library only, and of it neither clock, files, processes nor network."""
    impure = {"time", "os", "io", "pathlib", "subprocess", "socket", "random", "threading", "tempfile", "shutil"}
    for name, tree in modules().items():
        if LAYER_OF[name] == 0:
            roots = {imported.split(".")[0] for imported in imports(name, tree)} - {"pytest_gpupool"}
            assert roots <= sys.stdlib_module_names, name
            seeded = {"random"} if name == "statistics" else set()  # its bootstrap draws by a seed
            assert not roots & (impure - seeded), name


def test_the_machine_knows_no_pytest_and_nothing_knows_torch() -> None:
    """Layers 0 and 1 import neither pytest nor xdist; no module imports torch."""
    for name, tree in modules().items():
        roots = {imported.split(".")[0] for imported in imports(name, tree)}
        assert "torch" not in roots, name
        if LAYER_OF[name] < 2:
            assert not roots & {"pytest", "_pytest", "xdist", "execnet"}, name


@pytest.mark.parametrize("library", ONLY_IMPORTERS)
def test_foreign_libraries_have_one_importer(library: str) -> None:
    """Each of these is known to one module."""
    importers = {
        name
        for name, tree in modules().items()
        if any(imported.split(".")[0] == library for imported in imports(name, tree))
    }
    assert importers == {ONLY_IMPORTERS[library]}


def test_importing_the_package_loads_neither_pytest_nor_torch() -> None:
    """Importing pytest_gpupool, and what a worker runs before pytest, loads neither."""
    code = (
        "import sys, pytest_gpupool, pytest_gpupool.worker\n"
        "print([m for m in ('pytest', '_pytest', 'torch', 'xdist', 'pynvml', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_alone_loads_layer_0_only() -> None:
    """pytest_gpupool/__init__.py imports nothing of the machine."""
    code = "import sys, pytest_gpupool\nprint(*[m for m in sys.modules if m.startswith('pytest_gpupool.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.removeprefix("pytest_gpupool.") for module in done.stdout.split()}
    assert all(LAYER_OF[module] == 0 for module in loaded)
