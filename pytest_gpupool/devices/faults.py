"""Faults: CUDA errors after which a process can use its GPU no more. Pure: standard library only, no clock, no files.

The CUDA runtime's documentation says of these errors that they leave the process in an inconsistent state, and that
the process must be ended and started again to use CUDA (cudaError_t in "CUDA Runtime API", data types).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# The runtime's name, the driver's name, the words of cudaGetErrorString.
_STICKY = (
    ("cudaErrorAssert", "CUDA_ERROR_ASSERT", "device-side assert triggered"),
    ("cudaErrorIllegalAddress", "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    ("cudaErrorLaunchFailure", "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    ("cudaErrorLaunchTimeout", "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"),
    ("cudaErrorMisalignedAddress", "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"),
    ("cudaErrorIllegalInstruction", "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"),
    ("cudaErrorInvalidAddressSpace", "CUDA_ERROR_INVALID_ADDRESS_SPACE", "not supported on global/shared address"),
    ("cudaErrorInvalidPc", "CUDA_ERROR_INVALID_PC", "invalid program counter"),
    ("cudaErrorHardwareStackError", "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"),
    ("cudaErrorECCUncorrectable", "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"),
    ("cudaErrorNvlinkUncorrectable", "CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected"),
    ("cudaErrorContained", "CUDA_ERROR_CONTAINED", "Invalid access of peer GPU memory over nvlink or a hardware error"),
    ("cudaErrorTensorMemoryLeak", "CUDA_ERROR_TENSOR_MEMORY_LEAK", "tensor memory leak"),
)  # fmt: skip

_NAMED = re.compile("|".join(rf"\b(?:{runtime}|{driver})\b" for runtime, driver, _ in _STICKY))
# Words alone could be anybody's; after "CUDA" (NCCL writes "Cuda failure") on the same line they are CUDA's.
_CUDA = re.compile("CUDA|Cuda|pycuda")
_WORDS = re.compile("|".join(re.escape(words) for *_, words in _STICKY))

_MARKED = re.compile(r"^E .*(?:\nE .*)*", re.MULTILINE)
_ASSERTED = re.compile(r"E +(?:assert |AssertionError\b|Failed\b)")
_MET = re.compile(r"E +(?:Actual message|Input): ")  # what pytest.raises met in place of what its match expected


def sticky_error(text: str) -> str | None:
    """Return the CUDA error in a failure's text that its process cannot recover from, None where there is none."""
    if not _CUDA.search(text) and "cudaError" not in text:
        return None
    for line in _lines_of_errors(text):
        if match := _NAMED.search(line):
            return match.group()
        if (cuda := _CUDA.search(line)) and (match := _WORDS.search(line, cuda.end())):
            return match.group()
    return None


def _lines_of_errors(text: str) -> Iterator[str]:
    """Yield the lines in which CUDA may speak.

    Where pytest has marked the lines of exceptions, the others are source. An assertion's words are the test's: what
    it expected, or what another process wrote.
    """
    for block in _MARKED.findall(text) or [text]:
        lines = block.splitlines()
        yield from filter(_MET.match, lines) if _ASSERTED.match(block) else lines
