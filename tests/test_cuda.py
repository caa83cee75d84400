"""Whether CUDA is initialised is told without loading anything, and so is who imported torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from standin import TORCH_PATH, Driver

from pytest_gpupool.cuda import importer_of_torch, is_initialised

ASK = """
import json, sys
from pytest_gpupool.cuda import importer_of_torch, is_initialised
print(json.dumps([{value}]))
"""


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of one GPU, whose CUDA library can be loaded."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 1)


def answer(before: str, value: str, environ: dict[str, str] | None = None, *paths: Path) -> Any:
    """What a process finds that has done something before."""
    environ = {**(environ or os.environ), "PYTHONPATH": os.pathsep.join(map(str, [TORCH_PATH, *paths]))}
    environ.pop("GPUPOOL_STANDIN_TORCH_LOG", None)
    source = before + ASK.format(value=value)
    done = subprocess.run([sys.executable, "-c", source], env=environ, check=True, capture_output=True, text=True)
    (value,) = json.loads(done.stdout)
    return value


class TestDriver:
    """libcuda, whoever loads it."""

    LOADED = 'import ctypes\nlibrary = ctypes.CDLL("libcuda.so.1")\n'

    def test_after_cuinit_it_is_initialised(self, driver: Driver) -> None:
        """Also where torch is not."""
        assert answer(self.LOADED + "assert library.cuInit(0) == 0\n", "is_initialised()", driver.environ()) is True

    def test_loaded_alone_it_is_not(self, driver: Driver) -> None:
        """Environment variables still count."""
        assert answer(self.LOADED, "is_initialised()", driver.environ()) is False

    def test_with_every_gpu_hidden_it_is(self, driver: Driver) -> None:
        """cuInit fixes what is seen, that it is nothing too."""
        environ = {**driver.environ(), "CUDA_VISIBLE_DEVICES": "-1"}
        assert answer(self.LOADED + "library.cuInit(0)\n", "is_initialised()", environ) is True

    def test_asking_loads_nothing(self, driver: Driver) -> None:
        """Neither the driver's library nor torch."""
        value = (
            "[is_initialised(), 'libcuda' in open('/proc/self/maps').read(),"
            " any(name.startswith('torch') for name in sys.modules)]"
        )
        assert answer("", value, driver.environ()) == [False, False, False]


class TestTorch:
    """torch, as far as it is loaded."""

    def test_after_its_init_it_is_initialised(self) -> None:
        """torch itself says so."""
        assert answer("import torch\ntorch.cuda.init()\n", "is_initialised()") is True

    @pytest.mark.parametrize("before", ["", "import torch\n", "import torch.cuda\ntorch.cuda.device_count()\n"])
    def test_before_it_is_not(self, before: str) -> None:
        """An import and a count fix nothing."""
        assert answer(before, "is_initialised()") is False

    def test_a_torch_without_cuda_is_not(self) -> None:
        """Nor a part of it that is only half imported."""
        torch = ModuleType("torch")
        assert is_initialised({"torch": torch}) is False
        assert is_initialised({"torch": torch, "torch.cuda": ModuleType("torch.cuda")}) is False


class TestImporter:
    """Who imported torch."""

    @pytest.mark.parametrize(
        "statement",
        [
            "import torch",
            "import torch as t",
            "import torch.cuda",
            "from torch import cuda",
            "import torch.cuda as gpu",
            "from torch.cuda import is_available",
            "try:\n    import torch\nexcept ImportError:\n    torch = None",
        ],
    )
    def test_the_module_is_named(self, tmp_path: Path, statement: str) -> None:
        """Whichever way it imports; not who imported that module."""
        (tmp_path / "culprit.py").write_text(statement + "\n")
        (tmp_path / "outer.py").write_text("import culprit\n")
        assert answer("import json, outer\n", "importer_of_torch()", None, tmp_path) == "culprit"

    def test_of_two_importers_it_is_the_first(self, tmp_path: Path) -> None:
        """The second found it loaded."""
        (tmp_path / "first.py").write_text("import torch\n")
        (tmp_path / "second.py").write_text("import torch\n")
        assert answer("import first, second\n", "importer_of_torch()", None, tmp_path) == "first"

    def test_a_module_that_goes_on_importing_is_named(self, tmp_path: Path) -> None:
        """As a conftest.py that asks for a GPU at its end."""
        (tmp_path / "culprit.py").write_text("import torch\n" + ASK.format(value="importer_of_torch()"))
        assert answer("import culprit\nimport os; sys = os.sys; sys.exit()\n", "0", None, tmp_path) == "culprit"

    def test_without_torch_nobody_is(self) -> None:
        """There is nothing to tell."""
        assert answer("", "importer_of_torch()") is None

    def test_an_import_that_left_no_name_cannot_be_told(self, tmp_path: Path) -> None:
        """As one within a function."""
        (tmp_path / "culprit.py").write_text("def load():\n    import torch\nload()\n")
        assert answer("import culprit\n", "importer_of_torch()", None, tmp_path) is None

    def test_modules_that_are_no_modules_are_passed_over(self) -> None:
        """None blocks an import; others put whatever they like in sys.modules."""
        torch, culprit = ModuleType("torch"), ModuleType("culprit")
        vars(culprit)["torch"] = torch
        modules: dict[str, Any] = {
            "blocked": None,
            "torch": torch,
            "slotted": object(),
            "also_blocked": None,
            "culprit": culprit,
        }
        assert importer_of_torch(modules) == "culprit"

    def test_values_that_will_not_be_looked_at_are_passed_over(self) -> None:
        """A module may hold proxies that fail at any question."""

        class Proxy:
            def __getattribute__(self, name: str) -> Any:
                raise RuntimeError(f"working outside of context: {name}")

        torch, lazy, culprit = ModuleType("torch"), ModuleType("lazy"), ModuleType("culprit")
        vars(lazy)["request"] = Proxy()
        vars(culprit)["torch"] = torch
        assert importer_of_torch({"torch": torch, "lazy": lazy, "culprit": culprit}) == "culprit"

    def test_a_value_that_only_has_a_name_is_not_of_torch(self) -> None:
        """Its module counts, where that is a text."""
        torch, other = ModuleType("torch"), ModuleType("other")
        vars(other).update(name="torch", thing=SimpleNamespace(__module__=3), torch_like=ModuleType("torchmetrics"))
        assert importer_of_torch({"torch": torch, "other": other}) is None
