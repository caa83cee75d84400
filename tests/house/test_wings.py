"""The house's rules: wings import only downward and through doors, and importing the package costs nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import pytest_gpupool

PACKAGE = Path(pytest_gpupool.__file__).parent
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"

ONLY_IMPORTERS = {
    "pynvml": "devices.nvidia.nvml",
    "amdsmi": "devices.amd.smi",
    "filelock": "leases.locking.locks",
    "ray": "engines.ray.client",
    "rich": "live.painter",
}
KNOW_PYTEST = {
    *("foreign", "matrices", "options", "worker", "isolation", "exports", "run", "distribution", "live", "plugin"),
}
KNOW_XDIST = {"foreign", "worker", "distribution"}
PURE = {"values", "planning"}
IMPURE = {"time", "os", "io", "pathlib", "subprocess", "socket", "random", "threading", "tempfile", "shutil"}


@dataclass(frozen=True)
class Entry:
    """That a module enters a room of the house."""

    module: str
    room: str

    @property
    def crosses(self) -> bool:
        """Whether the room lies in another wing, or in a part of this one that has a door of its own."""
        return not self.module.startswith(f"{self.room.rpartition('.')[0]}.")

    def __str__(self) -> str:
        """Say it."""
        return f"{self.module} imports {self.room}"


def table() -> dict[str, str]:
    """The wings and their charters from bottom to top, as CONTRIBUTING.md shows them."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def wing_of(module: str) -> str:
    """The wing of a module: its first name."""
    return module.split(".")[0]


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below it, a wing's ``__init__`` by the wing's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """The absolute names that a module imports, inside functions and for type checkers too."""
    is_package = (PACKAGE / name.replace(".", "/")).is_dir()
    parts = ["pytest_gpupool", *name.split("."), *([""] if is_package else [])]
    if name == "__init__":
        parts = ["pytest_gpupool", ""]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def entries() -> tuple[Entry, ...]:
    """Which modules enter which rooms."""
    known = modules()
    found = []
    for name, tree in known.items():
        for target in imported(name, tree):
            parts = target.removeprefix("pytest_gpupool.").split(".") if target.startswith("pytest_gpupool.") else []
            longest = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            room = next((room for room in longest if room in known), None)
            if room is not None and room != name:
                found.append(Entry(name, room))
    return tuple(found)


def roots(name: str) -> set[str]:
    """The top-level packages that a module imports, without our own."""
    return {target.split(".")[0] for target in imported(name, modules()[name])} - {"pytest_gpupool"}


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings in a module's code, docstrings left out."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def doors() -> dict[str, list[str]]:
    """The ``__all__`` of each wing and each part of one."""
    found = {}
    for name, tree in modules().items():
        if name != "__init__" and (PACKAGE / name.replace(".", "/")).is_dir():
            values = [
                node.value
                for node in tree.body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            ]
            found[name] = ast.literal_eval(values[0]) if values else []
    return found


def test_the_table_has_every_wing_with_its_charter() -> None:
    """Each wing's first line is the charter that the table shows, and the root holds nothing else."""
    wings = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert wings == set(table()) - {"plugin"}
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "plugin.py", "py.typed"}
    for wing in wings:
        first = str(ast.get_docstring(modules()[wing])).splitlines()[0]
        assert first == f"{wing.capitalize()}: {table()[wing].replace('`', '``')}."


def test_wings_import_only_wings_below() -> None:
    """No module imports from a wing above its own, type-only imports included."""
    order = [*table(), "__init__", "__main__"]
    wrong = [entry for entry in entries() if order.index(wing_of(entry.room)) > order.index(wing_of(entry.module))]
    assert not wrong


def test_rooms_of_a_wing_import_in_no_circle() -> None:
    """Within a wing, too, there is a first room."""
    needs: dict[str, set[str]] = {name: set() for name in modules()}
    for entry in entries():
        needs[entry.module].add(entry.room)
    while ready := {name for name, rooms in needs.items() if not rooms}:
        needs = {name: rooms - ready for name, rooms in needs.items() if name not in ready}
    assert not needs


def test_wings_are_entered_through_their_doors() -> None:
    """A door names the rooms that others enter, and only those."""
    entered: dict[str, set[str]] = {wing: set() for wing in doors()}
    for entry in entries():
        wing, _, room = entry.room.rpartition(".")
        if wing and entry.crosses:
            entered[wing].add(room)
    assert {wing: sorted(rooms) for wing, rooms in entered.items()} == doors()


def test_a_wing_has_3_to_12_rooms() -> None:
    """Fewer are no wing, more are two."""
    for wing in doors():
        inside = [path for path in (PACKAGE / wing.replace(".", "/")).iterdir() if not path.name.startswith("__")]
        rooms = [path for path in inside if path.suffix == ".py" or (path / "__init__.py").exists()]
        assert 3 <= len(rooms) <= 12, wing


@pytest.mark.parametrize("wing", sorted(PURE))
def test_the_rules_are_pure(wing: str) -> None:
    """They import the standard library only, and of it neither clock, files, processes nor network."""
    for name in modules():
        if wing_of(name) == wing:
            assert roots(name) <= sys.stdlib_module_names, name
            assert not roots(name) & IMPURE, name


def test_few_wings_know_pytest_and_none_knows_torch() -> None:
    """What could be used without pytest does not import it."""
    for name in modules():
        wing = wing_of(name)
        assert "torch" not in roots(name), name
        assert wing in KNOW_PYTEST or not roots(name) & {"pytest", "_pytest"} or name == "__init__", name
        assert wing in KNOW_XDIST or not roots(name) & {"xdist", "execnet"}, name


@pytest.mark.parametrize("library", ONLY_IMPORTERS)
def test_foreign_libraries_have_one_importer(library: str) -> None:
    """Each of these is known to one module."""
    assert {name for name in modules() if library in roots(name)} == {ONLY_IMPORTERS[library]}


def test_processes_is_the_only_reader_of_proc() -> None:
    """What the kernel says of processes is read, and understood, in one place."""
    readers = {wing_of(name) for name, tree in modules().items() if any("/proc" in text for text in texts(tree))}
    assert readers == {"processes"}


def test_importing_the_package_loads_neither_pytest_nor_torch() -> None:
    """Importing pytest_gpupool, and what a worker runs before pytest, loads neither."""
    code = (
        "import sys, pytest_gpupool, pytest_gpupool.worker.program\n"
        "print([m for m in ('pytest', '_pytest', 'torch', 'xdist', 'pynvml', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["pytest_gpupool", *(f"pytest_gpupool.{wing}" for wing in doors())])
def test_a_door_loads_no_room(name: str) -> None:
    """Importing the package or a wing imports nothing else of the house."""
    code = f"import sys, {name}\nprint(*sorted(m for m in sys.modules if m.startswith('pytest_gpupool')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parts = name.split(".")
    assert done.stdout.split() == [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def test_options_are_read_in_options_alone() -> None:
    """What was typed is asked of one wing; the options that a suite itself declares are read for its tests' recipes."""
    asks = {"known_args_namespace", "getoption", "getini"}
    readers = {
        name
        for name, tree in modules().items()
        if any(isinstance(node, ast.Attribute) and node.attr in asks for node in ast.walk(tree))
    }
    assert {name for name in readers if wing_of(name) != "options"} == {"worker.recording.recipes"}


NVIDIA_WORD = re.compile("nvml|nvidia|cuda", re.IGNORECASE)
MAY_SAY_NVIDIA = {
    "options.declarations": "help of options, for users",
    "worker.fixtures": "torch calls every GPU cuda:N, also those of others, and so does the fixture gpu",
    "script.ranks.function_rank": "torch calls every GPU cuda:N, and its back end for GPUs nccl, of other vendors too",
    "worker.items.random_states": "torch and CuPy call their generators on GPUs of any vendor so",
    "run.ending.host": "the name of a package, of which the report gives the version",
}


def names_and_texts(tree: ast.Module) -> Iterator[str]:
    """The identifiers, imports and strings of a module's code."""
    yield from texts(tree)
    for node in ast.walk(tree):
        # The names of functions, arguments, aliases, keywords and imports are fields that hold plain text.
        if not isinstance(node, ast.Constant):
            yield from (value for _, value in ast.iter_fields(node) if isinstance(value, str))


def test_only_devices_knows_a_vendor() -> None:
    """What runs on NVIDIA's devices runs on others': no name, import or message elsewhere is NVIDIA's."""
    know = {name for name, tree in modules().items() if any(map(NVIDIA_WORD.search, names_and_texts(tree)))}
    assert {name for name in know if wing_of(name) != "devices"} == set(MAY_SAY_NVIDIA)
