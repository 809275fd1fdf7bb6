"""bench=data: training images a second, of our loaders and of PIL pictures in a DataLoader, both with two workers.

`memory`: small images kept on the device and augmented there, a batch at a time. `files`: JPEG files that are decoded
whenever they are needed. Both sides scale, shift, flip and normalise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from src.benches.build import DataSettings
from src.benches.plain_loop import WORKERS, Pictures
from src.benches.timing import Measured, clock, noise, plain_table, spread
from src.datasets.image_folder import image_folder
from src.datasets.input_spec import InputSpec
from src.runtime.progress import progress

SHIFT = 4
SMALL, LARGE, STORED = 32, 224, 256
"""Px a side: of images in memory, of decoded files, of the files."""
FILES = 200
"""In each of two classes."""


class Pair(NamedTuple):
    """Two endless readers of the same images."""

    ours: Iterator[Any]
    plain: Iterator[Any]


def run(settings: DataSettings, device: torch.device) -> Measured:
    """Both kinds of data; the ratio is the smaller one."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = {"memory": _memory(settings, device), "files": _files(settings, Path(folder), device)}
        by_data = {name: _measure(name, pair, settings, device) for name, pair in pairs.items()}
    ratio = min(figures["ratio"]["median"] for figures in by_data.values())
    return Measured({"data": by_data}, _table(by_data, settings), ratio)


def _memory(settings: DataSettings, device: torch.device) -> Pair:
    count = max(10_000, 2 * settings.batch_size)
    data = noise(InputSpec(3, 10, SMALL), count, 1, settings.seed, SHIFT, flip=True)
    pixels, labels, _ = data.part("train")
    ours = data.train_loader(settings.batch_size, 10**6, settings.seed, device)
    return Pair(iter(ours), _endless(_plain(Pictures(pixels, labels), settings.batch_size)))


def _files(settings: DataSettings, folder: Path, device: torch.device) -> Pair:
    generator = torch.Generator().manual_seed(settings.seed)
    for number in range(2 * FILES):
        coarse = torch.randint(256, (8, 8, 3), generator=generator, dtype=torch.uint8)  # compresses as photographs do
        path = folder / "01"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(coarse.numpy()).resize((STORED, STORED), Image.Resampling.BICUBIC).save(path, quality=90)
    options: dict[str, Any] = {"val": 2, "test": 2, "cache": None, "memory_limit_mb": 0, "workers": WORKERS}
    data = image_folder(str(folder), image_size=LARGE, shift=SHIFT, **options)
    plain = ImageFolder(
        str(folder),
        transforms.Compose(
            [
                transforms.Resize(LARGE),
                transforms.RandomCrop(LARGE, padding=SHIFT),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        ),
    )
    batch_size = min(settings.batch_size, FILES)
    return Pair(iter(data.train_loader(batch_size, 10**6, settings.seed, device)), _endless(_plain(plain, batch_size)))


def _plain(data: Any, batch_size: int) -> DataLoader[Any]:
    return DataLoader(
        data, batch_size, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True, pin_memory=False
    )


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _measure(name: str, pair: Pair, settings: DataSettings, device: torch.device) -> dict[str, Any]:
    """Images a second in turns; each begins with a batch that is not counted, and what was read ahead is used up."""
    # the same number of batches from either reader
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    readers: dict[str, Callable[[], int]] = {
        "ours": lambda: sum(len(batch.labels) for batch in islice(pair.ours, settings.steps)),
        "plain": lambda: sum(len(images.to(device)) for images, _ in islice(pair.plain, settings.steps)),
    }
    with progress(f"read from {name}", "round", settings.rounds) as bar:
        for _ in range(settings.rounds):
            for side, read in readers.items():
                # not counted: workers read ahead between two turns
                read()
                start = clock(device)
                rates[side].append(read() / (clock(device) - start))
            bar.update()
    ratios = [ours / plain for ours, plain in zip(rates["ours"], rates["plain"], strict=True)]
    figures = {f"{side}_images_per_second": spread(values)._asdict() for side, values in rates.items()}
    return figures | {"ratio": spread(ratios)._asdict()}


def _table(by_data: dict[str, dict[str, Any]], settings: DataSettings) -> Table:
    caption = f"{settings.rounds} rounds of {settings.steps} batches of {settings.batch_size}; {WORKERS} workers"
    table = plain_table("training images a second", caption)
    for name in ("data", "PIL and DataLoader", "ours", "ratio"):
        table.add_column(name, justify="left" if name == "data" else "right", no_wrap=True)
    for name, figures in by_data.items():
        plain, ours = (figures[f"{side}_images_per_second"]["median"] for side in ("plain", "ours"))
        ratio = figures["ratio"]
        spreads = f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
        table.add_row(name, f"{plain:,.0f}", f"{ours:,.0f}", spreads)
    return table
