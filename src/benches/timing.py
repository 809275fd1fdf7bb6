"""Shared by all benches: a clock, a spread, a device, images of noise, a table.

C channels, H W size.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from rich import box
from rich.table import Table

from src.datasets.augment import ShiftFlip
from src.datasets.input_spec import InputSpec
from src.datasets.memory import ImagePart, MemoryDataset
from src.runtime.devices import chosen_device


class Spread(NamedTuple):
    """Quartiles of repeated measurements."""

    low: float
    median: float
    high: float

    def times(self, factor: float) -> Spread:
        """The spread of multiples."""
        return Spread(*(value * factor for value in self))


class Measured(NamedTuple):
    """The figures of a bench, their table, and the ratio."""

    figures: dict[str, Any]
    """Plain values for result.json."""
    table: Table
    ratio: float
    """Plain time / our time: above 1 we are faster."""


def spread(values: Sequence[float]) -> Spread:
    """Quartiles with linear interpolation, the smallest and largest value included; one value is all three."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def plain_table(title: str, caption: str) -> Table:
    """An empty table that makes the most of 80 columns."""
    table = Table(title=title, caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    return table


def clock(device: torch.device) -> float:
    """Seconds, once the device has done all it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


@contextmanager
def machine(name: str, threads: int | None) -> Iterator[torch.device]:
    """The device of that name (auto, cpu, cuda), with `threads` CPU threads for the length of the block."""
    device, before = chosen_device(name), torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield device
    finally:
        torch.set_num_threads(before)


def noise(input_spec: InputSpec, train: int, val: int, seed: int, shift: int = 0, flip: bool = False) -> MemoryDataset:
    """A data set of random pixels and labels, with so many images in its parts, augmented as asked."""
    generator = torch.Generator().manual_seed(seed)
    shape = (input_spec.in_channels, input_spec.image_size, input_spec.image_size)
    counts = {"train": train, "val": val}
    images = {p: torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8) for p, n in counts.items()}
    labels = {p: torch.randint(input_spec.num_classes, (n,), generator=generator) for p, n in counts.items()}
    parts = {part: ImagePart(images[part], labels[part], torch.arange(n)) for part, n in counts.items()}
    classes = [str(label) for label in range(input_spec.num_classes)]
    return MemoryDataset("noise", parts, classes, ShiftFlip(shift, flip))
