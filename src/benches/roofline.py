"""Roofline of a supernet step: its multiply-adds and the bytes it moves, against the rates of the device.

B images of a mini-batch, m choices of a layer.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from src.benches.timing import clock
from src.datasets.input_spec import InputSpec
from src.search_spaces.space import SearchSpace

SIDE = 2048
"""Rows and columns of the matrices whose product shows the largest rate of operations."""
COPIED = 2**28
"""Bytes of the copy that shows the bandwidth."""
PROBES = (4, 8)
"""Images of the passes whose bytes are counted."""


class Limits(NamedTuple):
    """Rates of a device, measured in one type of numbers."""

    flops: float
    """Operations a second of a matrix product; a multiply-add is two."""
    bandwidth: float
    """Bytes a second of a copy, read and written."""


class Work(NamedTuple):
    """Operations and bytes of one supernet step under strict fairness."""

    flops: float
    """Forward, and twice that backward."""
    bytes: float
    """Inputs and outputs of every operation that autograd runs in float32, were nothing kept in a cache."""

    def bound(self, limits: Limits) -> dict[str, Any]:
        """Seconds that the operations and the bytes take at best, and the larger of the two."""
        by = {"flops": self.flops / limits.flops, "bytes": self.bytes / limits.bandwidth}
        return {**by, "bound_by": max(by, key=lambda name: by[name]), "seconds": max(by.values())}


def measure_limits(device: torch.device, dtype: torch.dtype = torch.float32, seconds: float = 1.0) -> Limits:
    """The best of some seconds of each; `dtype` of the product's factors."""
    a = torch.randn(SIDE, SIDE, device=device, dtype=dtype)
    b, out = a.t().contiguous(), torch.empty_like(a)
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    product = _best(lambda: torch.mm(a, b, out=out), device, seconds)
    copy = _best(lambda: target.copy_(source), device, seconds)
    return Limits(2 * SIDE**3 / product, 2 * COPIED / copy)


def work_of_a_step(space: SearchSpace, input_spec: InputSpec, batch_size: int) -> Work:
    """The m paths run every choice once; bytes are counted on two small batches and grow in a line."""
    paths = [tuple(min(choice, m - 1) for m in space.sizes) for choice in range(max(space.sizes))]
    macs = sum(space.costs(path, input_spec).macs for path in paths)
    net = space.build(*input_spec).to(memory_format=torch.channels_last)
    few, more = (sum(_moved(net, _images(input_spec, count), path) for path in paths) for count in PROBES)
    an_image = (more - few) / (PROBES[1] - PROBES[0])
    return Work(6.0 * macs * batch_size, few + an_image * (batch_size - PROBES[0]))


def _images(input_spec: InputSpec, count: int) -> Tensor:
    return torch.randn(count, input_spec.in_channels, input_spec.image_size, input_spec.image_size)


def _moved(net: torch.nn.Module, images: Tensor, path: tuple[int, ...]) -> int:
    with _Bytes() as counted:
        F.cross_entropy(net(images, path), torch.zeros(len(images), dtype=torch.int64)).backward()
    net.zero_grad(set_to_none=True)
    return counted.total


class _Bytes(TorchDispatchMode):
    """Adds up what each operation reads and writes; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        read, written = _tensors(args), _tensors(out)
        if not func.is_view and not func._schema.name.startswith("aten::empty"):
            self.total += sum(t.numel() * t.element_size() for t in (*read, *written))
        return out


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return []


def _best(call: Any, device: torch.device, seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = clock(device)
        call()
        best = min(best, clock(device) - start)
    return best
