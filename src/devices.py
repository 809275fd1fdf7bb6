"""What is settled about a device: its arithmetic, and how tensors get there."""

from __future__ import annotations

import torch
from torch import Tensor


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; one of the CPU gets there without anybody waiting for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def allow_tf32(allowed: bool) -> None:
    """Whether NVIDIA GPUs may round the factors of float32 convolutions and matrix products to 10 bits of mantissa."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
