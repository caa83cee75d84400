"""What an exception came of: memory that was not there, a device that has failed, or the test itself."""

from __future__ import annotations

import pytest

from pytest_gpupool.devices.failures import cause_of


def of(module: str, name: str, text: str) -> BaseException:
    """An exception of a class that a library would have."""
    error: BaseException = type(name, (RuntimeError,), {"__module__": module})(text)
    return error


def raised_from(error: BaseException, cause: BaseException | None, context: BaseException | None = None) -> Exception:
    """What is raised in place of another one."""
    error.__context__ = context
    if cause is not None:  # to set it, to None as well, hides the context
        error.__cause__ = cause
    assert isinstance(error, Exception)
    return error


OUT = RuntimeError("CUDA error: out of memory")

MEMORY = [
    of(
        "torch",
        "OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a capacity of 79.19 GiB",
    ),
    of("torch.cuda", "OutOfMemoryError", ""),
    of("cupy.cuda.memory", "OutOfMemoryError", "Out of memory allocating 8,000,000,000 bytes"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    of("cupy_backends.cuda.api.runtime", "CUDARuntimeError", "cudaErrorMemoryAllocation: out of memory"),
    RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
    RuntimeError("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; hostname=node1"),
    of(
        "jaxlib.xla_extension",
        "XlaRuntimeError",
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 687 bytes.",
    ),
    of("jax.errors", "JaxRuntimeError", "RESOURCE_EXHAUSTED: Error allocating device buffer"),
    of("tensorflow.python.framework.errors_impl", "ResourceExhaustedError", "OOM when allocating tensor with shape[1]"),
    RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate request for 2.00GiB on device ordinal 0"),
    RuntimeError("HIP out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("HIP error: out of memory"),
    RuntimeError("hipErrorOutOfMemory: out of memory"),
    raised_from(ValueError("the model cannot be loaded"), OUT),
    raised_from(ValueError("the model cannot be loaded"), None, OUT),
    raised_from(AssertionError("the model cannot be loaded"), OUT),
    ExceptionGroup("two", [ValueError("one"), ExceptionGroup("more", [OUT])]),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_a_test_ran_out_of_memory(error: BaseException) -> None:
    """By the class of the exception, by the names and words of the libraries, and of what it came of."""
    assert cause_of(error) == "out-of-memory"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: uncorrectable ECC error encountered",
        "cudaErrorECCUncorrectable: uncorrectable ECC error encountered",
        "CUDA error: uncorrectable NVLink error detected during the execution",
        "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost. Reboot the system",
        "HIP error: uncorrectable ECC error encountered",
    ],
)
def test_a_device_has_failed(text: str) -> None:
    """No test can bring these about."""
    assert cause_of(RuntimeError(text)) == "machine"
    assert cause_of(raised_from(ValueError("no result"), RuntimeError(text))) == "machine"


class Odd(Exception):
    """One that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("CUDA error: out of memory")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("something else"),
        ValueError("out of memory"),
        MemoryError("the list is too long"),
        RuntimeError("the tensor on cuda:0 went out of memory order"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("Invalid access of peer GPU memory over nvlink or a hardware error"),
        of("google.genai.errors", "ClientError", "429 RESOURCE_EXHAUSTED. {'error': {'message': 'quota exceeded'}}"),
        of("mylib", "OutOfMemoryError", "the pool of connections is used up"),
        AssertionError("CUDA error: out of memory"),
        raised_from(AssertionError("it should say 40 GiB"), None, OUT),
        ExceptionGroup("two", [ValueError("one"), AssertionError("CUDA error: out of memory")]),
        Odd(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_is_the_tests_own(error: BaseException) -> None:
    """Others' words, what the test itself does to its device, and what it asserts."""
    assert cause_of(error) is None


def test_what_was_hidden_does_not_count() -> None:
    """``raise … from None`` says that it came of nothing."""
    error = raised_from(ValueError("fell back to the CPU, in vain"), None, OUT)
    error.__suppress_context__ = True
    assert cause_of(error) is None


def test_a_circle_comes_to_an_end() -> None:
    """Exceptions can be each other's context."""
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert cause_of(first) is None
