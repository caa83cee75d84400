"""HIP's errors after which a process can use its GPU no more.

HIP names them as CUDA does (hipError_t in "HIP Runtime API"). A memory access fault that the kernel driver notices
ends the process at once, and needs no word here.
"""

from __future__ import annotations

from ..faults import Faults

_STICKY = (
    ("hipErrorAssert", "device-side assert triggered"),
    ("hipErrorIllegalAddress", "an illegal memory access was encountered"),
    ("hipErrorLaunchFailure", "unspecified launch failure"),
    ("hipErrorLaunchTimeOut", "the launch timed out and was terminated"),
    ("hipErrorECCNotCorrectable", "uncorrectable ECC error encountered"),
)

# torch writes "HIP error: …" before the words.
FAULTS = Faults.of(
    [name for name, _ in _STICKY], [words for _, words in _STICKY], speaker=r"\bHIP\b|\bhip[A-Z]", hint="hipError"
)

MEMORY = Faults.of(
    ["hipErrorOutOfMemory", "hipErrorMemoryAllocation", "HIPBLAS_STATUS_ALLOC_FAILED"],
    ["out of memory"],
    speaker=r"\bHIP\b|\bhip[A-Z]",
    hint="HIPBLAS_STATUS_ALLOC_FAILED",
)
"""The errors of a device that has no memory left. The process can go on."""

LOST = Faults.of(
    ["hipErrorECCNotCorrectable"],
    ["uncorrectable ECC error encountered"],
    speaker=r"\bHIP\b|\bhip[A-Z]",
    hint="hipErrorECC",
)
"""The errors of a device that has failed: no test can bring them about."""
