"""Which failures leave a process that can use CUDA no more is told from the words of real programs."""

from __future__ import annotations

import json
import textwrap

import pytest
from support import Host

from pytest_gpupool.devices.vendors import sticky_error

ASYNC = (
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
"""What PyTorch adds to every CUDA error."""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        # PyTorch
        (f"RuntimeError: CUDA error: device-side assert triggered\n{ASYNC}", "device-side assert triggered"),
        (
            "torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n"
            "Search for `cudaErrorIllegalAddress' in https://docs.nvidia.com/cuda/cuda-runtime-api/"
            f"group__CUDART__TYPES.html for more information.\n{ASYNC}",
            "an illegal memory access was encountered",
        ),
        (f"RuntimeError: CUDA error: unspecified launch failure\n{ASYNC}", "unspecified launch failure"),
        ("RuntimeError: CUDA error: misaligned address", "misaligned address"),
        (
            "RuntimeError: CUDA error: the launch timed out and was terminated",
            "the launch timed out and was terminated",
        ),
        ("RuntimeError: CUDA error: an illegal instruction was encountered", "an illegal instruction was encountered"),
        (
            "RuntimeError: CUDA error: operation not supported on global/shared address space",
            "not supported on global/shared address",
        ),
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "uncorrectable ECC error encountered"),
        ("RuntimeError: CUDA error: hardware stack error", "hardware stack error"),
        ("RuntimeError: CUDA error: invalid program counter", "invalid program counter"),
        (
            "RuntimeError: transform: failed to synchronize: cudaErrorAssert: device-side assert triggered",
            "cudaErrorAssert",
        ),
        (
            "RuntimeError: Caught RuntimeError in pin memory thread for device 0.\nOriginal Traceback (most recent "
            "call last):\nRuntimeError: CUDA error: an illegal memory access was encountered",
            "an illegal memory access was encountered",
        ),
        # NCCL, by PyTorch
        (
            "torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:268, unhandled cuda error (run with "
            "NCCL_DEBUG=INFO for details), NCCL version 2.21.5\nncclUnhandledCudaError: Call to CUDA function failed.\n"
            "Last error:\nCuda failure 700 'an illegal memory access was encountered'",
            "an illegal memory access was encountered",
        ),
        # Triton
        ("RuntimeError: Triton Error [CUDA]: misaligned address", "misaligned address"),
        (
            "RuntimeError: Triton Error [CUDA]: an illegal memory access was encountered",
            "an illegal memory access was encountered",
        ),
        # JAX
        (
            "jaxlib.xla_extension.XlaRuntimeError: INTERNAL: Failed to execute XLA Runtime executable: run time error: "
            "custom call 'xla.gpu.func.launch' failed: Failed to launch CUDA kernel: fusion_1560 with block "
            "dimensions: 160x1x1 and grid dimensions: 1x1x1: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was "
            "encountered.",
            "CUDA_ERROR_ILLEGAL_ADDRESS",
        ),
        (
            "jaxlib.xla_extension.XlaRuntimeError: INTERNAL: CUDA error: Could not synchronize CUDA stream: "
            "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
            "CUDA_ERROR_LAUNCH_FAILED",
        ),
        # CuPy, Numba, PyCUDA
        (
            "cupy_backends.cuda.api.runtime.CUDARuntimeError: cudaErrorIllegalAddress: an illegal memory access was "
            "encountered",
            "cudaErrorIllegalAddress",
        ),
        (
            "cupy_backends.cuda.api.driver.CUDADriverError: CUDA_ERROR_MISALIGNED_ADDRESS: misaligned address",
            "CUDA_ERROR_MISALIGNED_ADDRESS",
        ),
        (
            "numba.cuda.cudadrv.driver.CudaAPIError: [719] Call to cuMemcpyDtoH results in CUDA_ERROR_LAUNCH_FAILED",
            "CUDA_ERROR_LAUNCH_FAILED",
        ),
        (
            "pycuda._driver.LogicError: cuMemcpyDtoH failed: an illegal memory access was encountered",
            "an illegal memory access was encountered",
        ),
        # ONNX Runtime, TensorFlow, Thrust
        (
            "onnxruntime.capi.onnxruntime_pybind11_state.Fail: [ONNXRuntimeError] : 1 : FAIL : CUDA failure 700: an "
            "illegal memory access was encountered ; GPU=0 ; hostname=node1",
            "an illegal memory access was encountered",
        ),
        (
            "tensorflow.python.framework.errors_impl.InternalError: Failed to copy: CUDA_ERROR_ILLEGAL_ADDRESS",
            "CUDA_ERROR_ILLEGAL_ADDRESS",
        ),
        (
            "RuntimeError: parallel_for failed: cudaErrorLaunchFailure: unspecified launch failure",
            "cudaErrorLaunchFailure",
        ),
    ],
)
def test_errors_after_which_a_process_is_lost(text: str, error: str) -> None:
    """The answer is CUDA's name of the error, or its words."""
    assert sticky_error(text) == error


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RuntimeError: something else",
        # Memory comes back.
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a capacity of 79.19 GiB",
        f"RuntimeError: CUDA error: out of memory\n{ASYNC}",
        "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,000,000,000 bytes",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68719476736.",
        "cupy_backends.cuda.api.runtime.CUDARuntimeError: cudaErrorMemoryAllocation: out of memory",
        # A call that was refused.
        f"RuntimeError: CUDA error: invalid argument\n{ASYNC}",
        "torch.AcceleratorError: CUDA error: invalid device ordinal\nSearch for `cudaErrorInvalidDevice' in https://docs",
        f"RuntimeError: CUDA error: invalid configuration argument\n{ASYNC}",
        f"RuntimeError: CUDA error: no kernel image is available for execution on the device\n{ASYNC}",
        "cupy_backends.cuda.api.driver.CUDADriverError: CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available",
        "RuntimeError: Triton Error [CUDA]: out of resource: shared memory, Required: 262144, Hardware limit: 232448",
        # As in a child of fork: CUDA was never this process's.
        f"RuntimeError: CUDA error: initialization error\n{ASYNC}",
        "RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, use 'spawn'",
        "RuntimeError: CUDA error: no CUDA-capable device is detected",
        # cuBLAS's and cuDNN's codes do not say so; if the process is lost the next call does.
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`",
        "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in",
        # Words that are not CUDA's, or of another line.
        "ValueError: misaligned address",
        "ValueError: the buffer on cuda:0 has a misaligned address",
        "RuntimeError: hardware stack error in the simulator\nRuntimeError: CUDA is not available",
        "RuntimeError: cudaErrorAsserted",
        "KeyError: 'MY_CUDA_ERROR_ASSERT'",
    ],
)
def test_errors_that_a_process_survives(text: str) -> None:
    """It is not worth a worker to be careful."""
    assert sticky_error(text) is None


# What pytest makes of a failure.
EXPECTED_IT = """
    def test_out_of_range():
        with pytest.raises(RuntimeError, match="CUDA error: device-side assert triggered"):
>           lookup(torch.tensor([9]))
E           Failed: DID NOT RAISE <class 'RuntimeError'>

test_a.py:9: Failed
"""
SOURCE = """
    def check():
        # CUDA error: an illegal memory access was encountered
>       raise ValueError("nothing of the kind")
E       ValueError: nothing of the kind

test_a.py:9: ValueError
"""
ASSERTED = """
    def test_script():
        done = subprocess.run(["train"], capture_output=True, text=True)
>       assert done.returncode == 0, done.stderr
E       AssertionError: Traceback (most recent call last):
E         RuntimeError: CUDA error: device-side assert triggered
E       assert 1 == 0
E        +  where 1 = CompletedProcess(args=['train'], returncode=1).returncode

test_a.py:9: AssertionError
"""
COMPARED = """
    def test_words():
>       assert words(700) == "CUDA error: misaligned address"
E       assert 'CUDA error: an illegal memory access' == 'CUDA error: misaligned address'

test_a.py:9: AssertionError
"""
RAISED = """
    def test_lookup():
>       lookup(torch.tensor([9])).item()

test_a.py:9:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _
>       return self.weight[index]
E       RuntimeError: CUDA error: device-side assert triggered
E       CUDA kernel errors might be asynchronously reported at some other API call.

model.py:3: RuntimeError
"""
CHAINED = """
    def test_lookup():
        with pytest.raises(RuntimeError, match="out of range"):
>           lookup(torch.tensor([9])).item()
E           RuntimeError: CUDA error: device-side assert triggered

test_a.py:9: RuntimeError

During handling of the above exception, another exception occurred:

>       with pytest.raises(RuntimeError, match="out of range"):
E       AssertionError: Regex pattern did not match.
E        Expected regex: 'out of range'
E        Actual message: 'CUDA error: device-side assert triggered'

test_a.py:8: AssertionError
"""
MET = """
>       with pytest.raises(RuntimeError, match="out of range"):
E       AssertionError: Regex pattern did not match.
E         Expected regex: 'out of range'
E         Actual message: 'CUDA error: device-side assert triggered'

test_a.py:8: AssertionError
"""
NATIVE = """
Traceback (most recent call last):
  File "test_a.py", line 9, in test_lookup
    lookup(torch.tensor([9])).item()
RuntimeError: CUDA error: device-side assert triggered
"""
LINE = "E   RuntimeError: CUDA error: device-side assert triggered"


@pytest.mark.parametrize(
    "text", [EXPECTED_IT, SOURCE, ASSERTED, COMPARED], ids=["raises", "source", "stderr", "compared"]
)
def test_the_words_of_a_test_are_not_cudas(text: str) -> None:
    """Neither its source nor what it asserts, such as another process's output."""
    assert sticky_error(textwrap.dedent(text)) is None


@pytest.mark.parametrize("text", [RAISED, CHAINED, MET, NATIVE, LINE], ids=["long", "chained", "met", "native", "line"])
def test_an_error_is_found_in_every_style_of_traceback(text: str) -> None:
    """With pytest's marks or without, and under an assertion that it led to."""
    assert sticky_error(textwrap.dedent(text)) == "device-side assert triggered"


SUITE = """
    import pytest

    def test_error():
        raise RuntimeError("CUDA error: misaligned address\\nand more of it")

    def test_match():
        with pytest.raises(RuntimeError, match="out of range"):
            raise RuntimeError("CUDA error: misaligned address")

    def test_assertion():
        assert False, "CUDA error: misaligned address"

    def test_raises():
        with pytest.raises(ValueError, match="CUDA error: misaligned address"):
            pass
"""
FAILURES = """
    import json

    def pytest_runtest_logreport(report):
        if report.failed:
            with open("failures.jsonl", "a") as file:
                print(json.dumps([report.nodeid.split("::")[1], report.longreprtext]), file=file)
"""


@pytest.mark.parametrize("style", ["auto", "short", "line", "native"])
def test_failures_that_pytest_wrote(cpu_host: Host, style: str) -> None:
    """The marks are where they are looked for.

    A native traceback has none, so any line of it may count; with ``--tb=line`` only a message's first line has one.
    """
    cpu_host.write("pytest.ini", "[pytest]\ngpupool = off\n")
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write("conftest.py", FAILURES)
    run = cpu_host.pytest(f"--tb={style}")
    failures = dict(map(json.loads, (cpu_host.project / "failures.jsonl").read_text().splitlines()))
    assert len(failures) == 4, run.output
    found = {name for name, text in failures.items() if sticky_error(text)}
    assert "test_error" in found
    assert style == "line" or "test_match" in found
    assert style == "native" or found <= {"test_error", "test_match"}


def test_a_long_text_is_soon_looked_through() -> None:
    """A line that names CUDA again and again is read once."""
    assert sticky_error("CUDA " * 1_000_000) is None
