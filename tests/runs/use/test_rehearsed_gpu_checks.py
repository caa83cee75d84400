"""The checks of real GPUs, rehearsed: on stand-in GPUs, with a torch that fails as CUDA does, and where there is none.

What only a GPU can show (times, memory as NVML sees it, NCCL) is left out; how the checks run, what they read and what
they say is the same.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMPANIONS, LIMIT, Host

ROOT = Path(__file__).parents[3]

TORCH = """
import ctypes, os, sys, time, types

__version__ = "2.0.0+rehearsal"
uint8, float16, float32 = "uint8", "float16", "float32"
_driver = ctypes.CDLL("libcuda.so.1")
_state = {"init": False, "error": None, "held": 0, "peak": 0, "part": 1.0, "hangs": False}
_later = []


def _module(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


class OutOfMemoryError(RuntimeError):
    pass


def init():
    if not _state["init"]:
        _state["init"] = True
        _driver.cuInit(0)
        for call in _later:
            call()


def device_count():
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return len([one for one in listed.split(",") if one not in ("", "-1")]) if listed is not None else 2


def _state_lines():
    return [line.split(maxsplit=1) for line in open(os.environ["GPUPOOL_STANDIN_NVML"]).read().splitlines()]


class _Properties:
    L2_cache_size = 1 << 20

    def __init__(self, number):
        init()
        raw = (ctypes.c_ubyte * 16)()
        device = ctypes.c_int()
        _driver.cuDeviceGet(ctypes.byref(device), number)
        _driver.cuDeviceGetUuid_v2(ctypes.byref(raw), device)
        digits = bytes(raw).hex()
        self.uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        self.total_memory = int(next(rest for name, rest in _state_lines() if name == "memory").split()[0])


def _synchronize(*_):
    if _state["hangs"]:
        time.sleep(600)
    if _state["error"]:
        raise RuntimeError(f"CUDA error: {_state['error']}\\nCUDA kernel errors might be asynchronously reported")


def _lazy_call(call):
    call() if _state["init"] else _later.append(call)


class Event:
    def __init__(self, enable_timing=False): pass
    def record(self): self.at = time.perf_counter()
    def synchronize(self): pass
    def elapsed_time(self, end): return (end.at - self.at) * 1000


cuda = _module(
    "torch.cuda",
    init=init,
    is_initialized=lambda: _state["init"],
    is_available=lambda: device_count() > 0,
    device_count=device_count,
    get_device_properties=_Properties,
    get_device_name=lambda number: next(rest for name, rest in _state_lines() if name == "name"),
    current_device=lambda: 0,
    synchronize=_synchronize,
    _sleep=lambda cycles: _state.update(hangs=cycles > 10**12),
    _lazy_call=_lazy_call,
    set_per_process_memory_fraction=lambda part, number=0: _state.update(part=part),
    max_memory_reserved=lambda number=0: _state["peak"],
    reset_peak_memory_stats=lambda number=0: _state.update(peak=_state["held"]),
    empty_cache=lambda: None,
    clock_rate=lambda: 1980,
    Event=Event,
    OutOfMemoryError=OutOfMemoryError,
)
cuda.mem_get_info = lambda: (_Properties(0).total_memory - _state["held"], _Properties(0).total_memory)
version = _module("torch.version", cuda="13.0")


class Tensor:
    def __init__(self, *size, dtype="uint8", device="cpu"):
        self.size = 1
        for one in size if not isinstance(size[0], tuple) else size[0]:
            self.size *= one
        self.device = device
        if device != "cpu":
            init()
            _synchronize()
            if dtype == "uint8" and self.size > 2**26:
                if _state["held"] + self.size > _state["part"] * _Properties(0).total_memory:
                    self.size = 0
                    raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {self.size} bytes. GPU 0 has …")
                _state["held"] += self.size
                _state["peak"] = max(_state["peak"], _state["held"])

    def __del__(self):
        if self.size > 2**26:
            _state["held"] -= self.size

    def sum(self): return self.size
    def numel(self): return self.size
    def to(self, device): return self
    def __add__(self, other): return Tensor(3 * self.size)
    def copy_(self, other): time.sleep(0.002)
    def zero_(self): pass


ones = zeros = empty = randn = Tensor
int8 = "int8"


def full(size, value, device):
    return Tensor(size, device=device)


def tensor(values, device="cpu"):
    made = Tensor(len(values), device=device)
    made.values = values
    return made


def matmul(a, b, out=None):
    time.sleep(0.002)


def _embedding(index, table):
    if max(index.values) >= 10:
        _state["error"] = "device-side assert triggered"


class Timer:
    def __init__(self, text, globals): self.call = globals["call"]

    def blocked_autorange(self, min_run_time):
        taken = []
        for _ in range(50):
            began = time.perf_counter()
            self.call()
            taken.append(time.perf_counter() - began)
        return types.SimpleNamespace(median=sorted(taken)[25])


nn = _module("torch.nn", functional=_module("torch.nn.functional", embedding=_embedding))
utils = _module("torch.utils", benchmark=_module("torch.utils.benchmark", Timer=Timer))
"""


def check(host: Host, *args: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the checks as their command does."""
    off = [f"-pno:{name}" for name in COMPANIONS if name != "hypothesispytest"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/gpu", "-p", "no:cacheprovider", *off, *args],
        cwd=ROOT,
        env=environ | {"COLUMNS": "300", "TMPDIR": str(host.directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def verdicts(output: str) -> dict[str, str]:
    """The table's last column by its first."""
    cells = [re.split(" {2,}", line) for line in output.partition("WHAT ")[2].partition("\n\n")[0].splitlines()[1:]]
    return {line[0]: line[-1] for line in cells}


def test_without_a_gpu_all_is_skipped_and_one_line_says_why(cpu_host: Host) -> None:
    """At once: nothing is asked of torch."""
    done = check(cpu_host, environ=cpu_host.environ())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was checked: no GPU to check: no NVIDIA driver here: libnvidia-ml.so.1 is not found" in done.stdout
    assert "WHAT" not in done.stdout


def test_without_cuda_in_torch_the_reason_is_another_one(make_host: Callable[..., Host]) -> None:
    """It is torch's."""
    host = make_host(1)
    host.write("torch.py", '__version__ = "2.13.0+cpu"\nclass version: cuda = None\n')
    done = check(host, environ=host.environ(PYTHONPATH=str(host.project)))
    assert "nothing was checked: torch 2.13.0+cpu is built without CUDA" in done.stdout, done.stdout + done.stderr


def test_rehearsal(make_host: Callable[..., Host], pytestconfig: pytest.Config) -> None:
    """Where all is as it should be each row is ok; what this torch cannot do is told as bad, and fails its test."""
    host = make_host(2)
    host.write("torch.py", TORCH)
    environ = host.environ(PYTHONPATH=str(host.project))
    names = ["cuda_sees", "context", "instances"]
    if pytestconfig.getoption("long"):
        names += [
            "uuid",
            "command",
            "two_workers",
            "of_their_own",
            "out_of_memory",
            "hangs",
            "several",
            "known_kernels",
        ]
    done = check(host, "-k", " or ".join(names), environ=environ)
    found = verdicts(done.stdout)
    assert "checks on 2 × Stand-in GPU, driver 570.86.15, torch 2.0.0+rehearsal (CUDA 13.0)" in done.stdout, done.stdout
    assert found, done.stdout + done.stderr
    # There is no driver here that compiles kernels, and what takes how long is this machine's affair.
    only_real = {what for what in found if re.search("illegal address| in TFLOP/s| in GB/s|MHz", what)}
    assert {what: verdict for what, verdict in found.items() if what not in only_real and verdict != "ok"} == {
        "instances of a gpu": "skipped"
    }, done.stdout
    assert found["assert"] == "ok"
    assert found["illegal address"] == "BAD"
    assert done.returncode == 1
    assert "illegal address: expected failed: illegal memory access, seen failed: AttributeError:" in done.stdout
    assert os.fspath(host.directory) not in "".join(found)
