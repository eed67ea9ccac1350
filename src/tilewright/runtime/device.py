"""What a model's library knows of the device it runs on, and how libraries say its memory is full.

torch is asked only where the script has imported it.
"""

from __future__ import annotations

import gc
import sys

OUT_OF_MEMORY = (
    "out of memory",  # CUDA, MPS, HIP
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "failed to allocate memory",  # onnxruntime's arena
    "bad_alloc",
    "resource_exhausted",  # JAX, TensorFlow
    "oom when allocating",  # TensorFlow
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is how a library says that memory ran out."""
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind in ("OutOfMemoryError", "ResourceExhaustedError"):
        return True
    text = str(error).lower()
    return any(words in text for words in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what libraries keep of the device's memory without need."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def device_name(device: str) -> str:
    """What people call the device, where torch knows it."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_available():
        return device
    return str(torch.cuda.get_device_name(device))


def has_bf16(device: str) -> bool:
    """Whether a CPU or GPU computes in bf16, as torch says; without torch nobody here can tell.

    Of NVIDIA's GPUs those of compute capability 8 or more do, of CPUs those whose bf16 oneDNN runs.
    Others would take many times as long as in float32.
    """
    torch = sys.modules.get("torch")
    if device == "cpu":
        known = torch and getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return torch is None or bool(known and known())
    if torch is None or torch.version.hip:
        return torch is not None
    return bool(torch.cuda.get_device_capability(device)[0] >= 8)
