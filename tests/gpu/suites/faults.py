"""Errors after which a process can use its GPU no more, each before a test that uses it."""

from __future__ import annotations

import ctypes

import torch

from pytest_gpupool import Gpu

# Forward compatible: the driver compiles it for whatever GPU there is. The address is no one's.
PTX = b"""
.version 6.3
.target sm_70
.address_size 64

.visible .entry store()
{
    .reg .b32 %value;
    .reg .b64 %address;
    mov.u32 %value, 1;
    mov.u64 %address, 16;
    st.global.u32 [%address], %value;
    ret;
}
"""


def launch(ptx: bytes, name: bytes) -> None:
    """Run a kernel in one thread, in the context that torch has."""
    driver = ctypes.CDLL("libcuda.so.1")
    module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
    done = driver.cuModuleLoadData(ctypes.byref(module), ctypes.c_char_p(ptx))
    assert done == 0, f"cuModuleLoadData: {done}"
    done = driver.cuModuleGetFunction(ctypes.byref(kernel), module, ctypes.c_char_p(name))
    assert done == 0, f"cuModuleGetFunction: {done}"
    one, none = ctypes.c_uint(1), ctypes.c_void_p()
    done = driver.cuLaunchKernel(kernel, one, one, one, one, one, one, ctypes.c_uint(0), none, none, none)
    assert done == 0, f"cuLaunchKernel: {done}"


def works(gpu: Gpu) -> None:
    """The device computes."""
    assert float(torch.ones(1000, device=gpu.device).sum()) == 1000


def test_before(gpu: Gpu) -> None:
    works(gpu)


def test_assert(gpu: Gpu) -> None:
    table = torch.zeros(10, 4, device=gpu.device)
    torch.nn.functional.embedding(torch.tensor([100], device=gpu.device), table)
    torch.cuda.synchronize()


def test_after_assert(gpu: Gpu) -> None:
    works(gpu)


def test_illegal_address(gpu: Gpu) -> None:
    works(gpu)  # so that torch has a context
    launch(PTX, b"store")
    torch.cuda.synchronize()


def test_after_illegal_address(gpu: Gpu) -> None:
    works(gpu)
