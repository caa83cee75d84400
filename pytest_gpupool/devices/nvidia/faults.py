"""CUDA's errors after which a process can use its GPU no more.

The CUDA runtime's documentation says of these errors that they leave the process in an inconsistent state, and that
the process must be ended and started again to use CUDA (cudaError_t in "CUDA Runtime API", data types).
"""

from __future__ import annotations

from ..faults import Faults

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

# Words alone could be anybody's; after "CUDA" (NCCL writes "Cuda failure") on the same line they are CUDA's.
FAULTS = Faults.of(
    [name for runtime, driver, _ in _STICKY for name in (runtime, driver)],
    [words for *_, words in _STICKY],
    speaker="CUDA|Cuda|pycuda",
    hint="cudaError",
)

MEMORY = Faults.of(
    [
        *("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"),
        *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ["out of memory"],
    speaker="CUDA|Cuda|pycuda|cudaError",
    hint="_STATUS_ALLOC_FAILED",
)
"""The errors of a device that has no memory left. The process can go on."""

LOST = Faults.of(
    [
        *("cudaErrorECCUncorrectable", "CUDA_ERROR_ECC_UNCORRECTABLE"),
        *("cudaErrorNvlinkUncorrectable", "CUDA_ERROR_NVLINK_UNCORRECTABLE"),
        *("NVML_ERROR_GPU_IS_LOST", "NVMLError_GpuIsLost", "GPU is lost"),
    ],
    ["uncorrectable ECC error encountered", "uncorrectable NVLink error detected"],
    speaker="CUDA|Cuda|pycuda|cudaError|NVML",
    hint="GPU is lost",
)
"""The errors of a device that has failed: no test can bring them about."""
