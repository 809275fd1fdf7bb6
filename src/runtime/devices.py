"""The device to compute on, TensorFloat-32 arithmetic, and copies from host to device."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from src.runtime.errors import UsageError


def chosen_device(asked: str) -> torch.device:
    """`auto` (the GPU if there is one), `cpu` or `cuda`; one of several processes has the GPU of its LOCAL_RANK.

    Raises:
        UsageError: a GPU is asked for, and there is none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda: there is no GPU here that torch can use; device=cpu works")
    if asked == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


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
