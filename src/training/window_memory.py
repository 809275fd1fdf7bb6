"""Whether all paths of an update fit into memory at once.

B images of a mini-batch, R routes of an update.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from src.supernet.path import Route
from src.supernet.supernet import Supernet

MEMORY_INFO = Path("/proc/meminfo")
SHARE = 0.5
"""Of the free memory, for what autograd saves: gradients, buffers of kernels and the data set need theirs."""
PROBE = 2
"""Images of the measured pass."""


def fitting_way(
    net: Supernet, sizes: Sequence[int], images: Tensor, batch_size: int, device: torch.device, paths: int = 1
) -> str:
    """On a GPU `window` if what a window over all choices saves for its backward pass fits, else `serial`.

    On a CPU it is always `serial`: there a window was between 5 % faster (small nets) and 16 % slower (NAS-Bench-201),
    and it needs m times the memory.

    Args:
        net: left as it was.
        sizes: (L,) choices of each layer.
        images: (PROBE, C, H, W) of any content, on the net's device.
        batch_size: B of the training to come.
        device: where it will be.
        paths: of an update, where they are more than the largest number of choices.
    """
    free = free_bytes(device)
    if device.type == "cpu" or free is None:
        return "serial"
    routes = [tuple(min(choice, m - 1) for m in sizes) for choice in range(max(sizes))]
    # a larger update saves as much again for each of its paths, on average
    needed = saved_bytes(net, images, routes) / len(images) * batch_size * max(paths / len(routes), 1)
    return "window" if needed <= SHARE * free else "serial"


def saved_bytes(net: Supernet, images: Tensor, routes: Sequence[Route]) -> int:
    """Bytes that autograd keeps between forward and backward of a window, weights not counted."""
    probe = copy.deepcopy(net).train()
    own = {value.untyped_storage().data_ptr() for value in (*probe.parameters(), *probe.buffers())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = probe.window(images, routes)
        F.cross_entropy(
            torch.cat(logits), torch.zeros(len(images) * len(routes), dtype=torch.int64, device=images.device)
        )
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that nobody uses; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if not MEMORY_INFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in MEMORY_INFO.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None
