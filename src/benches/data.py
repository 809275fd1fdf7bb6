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
from omegaconf import DictConfig
from PIL import Image
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

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


def run(cfg: DictConfig, device: torch.device) -> Measured:
    """Both kinds of data; the ratio is the smaller one."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = {"memory": _memory(cfg, device), "files": _files(cfg, Path(folder), device)}
        found = {name: _measure(name, pair, cfg, device) for name, pair in pairs.items()}
    ratio = min(figures["ratio"]["median"] for figures in found.values())
    return Measured({"data": found}, _table(found, cfg), ratio)


def _memory(cfg: DictConfig, device: torch.device) -> Pair:
    count = max(10_000, 2 * cfg.batch_size)
    data = noise(InputSpec(3, 10, SMALL), count, 1, cfg.seed, SHIFT, flip=True)
    pixels, labels, _ = data.part("train")
    ours = data.train_loader(cfg.batch_size, 10**6, cfg.seed, device)
    return Pair(iter(ours), _endless(_plain(Pictures(pixels, labels), cfg.batch_size)))


def _files(cfg: DictConfig, folder: Path, device: torch.device) -> Pair:
    generator = torch.Generator().manual_seed(cfg.seed)
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
    batch_size = min(cfg.batch_size, FILES)
    return Pair(iter(data.train_loader(batch_size, 10**6, cfg.seed, device)), _endless(_plain(plain, batch_size)))


def _plain(data: Any, batch_size: int) -> DataLoader[Any]:
    return DataLoader(
        data, batch_size, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True, pin_memory=False
    )


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _measure(name: str, pair: Pair, cfg: DictConfig, device: torch.device) -> dict[str, Any]:
    """Images a second in turns; each begins with a batch that is not counted, and what was read ahead is used up."""
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    readers: dict[str, Callable[[], int]] = {
        "ours": lambda: sum(len(batch.labels) for batch in islice(pair.ours, cfg.steps)),
        "plain": lambda: sum(len(images.to(device)) for images, _ in islice(pair.plain, cfg.steps)),
    }
    with progress(f"read from {name}", "round", cfg.rounds) as bar:
        for _ in range(cfg.rounds):
            for way, read in readers.items():
                read()
                start = clock(device)
                rates[way].append(read() / (clock(device) - start))
            bar.update()
    ratios = [ours / plain for ours, plain in zip(rates["ours"], rates["plain"], strict=True)]
    figures = {f"{way}_images_per_second": spread(values)._asdict() for way, values in rates.items()}
    return figures | {"ratio": spread(ratios)._asdict()}


def _table(found: dict[str, dict[str, Any]], cfg: DictConfig) -> Table:
    caption = f"{cfg.rounds} rounds of {cfg.steps} batches of {cfg.batch_size}; {WORKERS} workers"
    table = plain_table("training images a second", caption)
    for name in ("data", "PIL and DataLoader", "ours", "ratio"):
        table.add_column(name, justify="left" if name == "data" else "right", no_wrap=True)
    for name, figures in found.items():
        plain, ours = (figures[f"{way}_images_per_second"]["median"] for way in ("plain", "ours"))
        ratio = figures["ratio"]
        spreads = f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
        table.add_row(name, f"{plain:,.0f}", f"{ours:,.0f}", spreads)
    return table
