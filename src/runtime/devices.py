"""The device to compute on, TensorFloat-32 arithmetic, and copies from host to device."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from src.runtime.errors import UsageError


def chosen_device(asked: str) -> torch.device:
    """`auto` (the GPU if there is one), `cpu`, `cuda` or `mps`; one of several processes has the GPU of its LOCAL_RANK.

    Raises:
        UsageError: a GPU is asked for, and there is none.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(asked, True):
        raise UsageError(f"device={asked}: there is no GPU here that torch can use; device=cpu works")
    kind = next((kind for kind, is_here in here.items() if is_here and asked in (kind, "auto")), "cpu")
    return torch.device(kind, int(os.environ.get("LOCAL_RANK", 0))) if kind == "cuda" else torch.device(kind)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of any shape on the device; the copy from the CPU is asynchronous."""
    # from pageable memory the host would wait for the copy
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def allow_tf32(allowed: bool) -> None:
    """Let NVIDIA GPUs round the factors of float32 convolutions and matrix products to 10 bits of mantissa, or not."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
