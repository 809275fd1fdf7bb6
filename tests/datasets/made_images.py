"""Tiny folders of images, made on the fly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.runtime.errors import UsageError

CLASSES = ("cat", "dog", "owl")


def noise(seed: int, size: int = 8) -> Image.Image:
    """A random RGB image."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def make_classes(
    root: Path, count: int = 10, size: int = 8, classes: Sequence[str] = CLASSES, extension: str = "png", seed: int = 0
) -> Path:
    """`count` different images in each of `<root>/<class>/`."""
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(count):
            noise(seed + 1000 * label + number, size).save(folder / f"{number:04}.{extension}")
    return root


def make_split(root: Path, train: int = 10, test: int = 4, size: int = 8, test_folder: str = "test") -> Path:
    """`train/<class>/` and `test/<class>/`."""
    make_classes(root / "train", train, size)
    make_classes(root / test_folder, test, size, seed=500)
    return root


def refusal(call: Callable[[], object]) -> str:
    """The one line by which a call is refused."""
    with pytest.raises(UsageError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line
