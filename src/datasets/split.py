"""Stratified, seeded splits into train, validation and test.

N images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from src.datasets.options import check_number
from src.runtime.errors import UsageError

Indices = NDArray[np.int64]


def hold_out(
    labels: Indices, count: float, seed: int, classes: list[str], part: str, leave: int = 1
) -> tuple[Indices, Indices]:
    """Divide positions 0..N-1 into (kept, held out), every class in proportion, both shuffled.

    Where classes are equally large, a smaller `count` holds out a subset of what a larger one does with the same seed.

    Args:
        labels: (N,) class of each image.
        count: images to hold out, or a fraction of all if below 1, but at least an image of each class then.
        seed: the same seed gives the same split.
        classes: names, for the error.
        part: the option that asks for it, for the error.
        leave: images of each class that must be kept.

    Raises:
        UsageError: a class would be left with too few images on either side; it is named.
    """
    check_number(part, count, whole=False)
    total = len(labels)
    is_fraction = 0 < count < 1
    wanted = round(count * total) if is_fraction else int(count)
    sizes = np.bincount(labels, minlength=len(classes))
    # at least an image of each class on either side
    low, high = len(classes), total - leave * len(classes)
    if high < low:
        raise UsageError(f"{part}={count:g} cannot be met: {total} images are too few to divide {low} classes")
    if not is_fraction and not low <= wanted <= high:
        span = f"{low} to {high}" if low < high else f"{low}"
        raise UsageError(
            f"{part}={count:g} asks for {wanted} of {total} images in {low} classes: use {span}, or a fraction below 1"
        )
    # shares by class size; a fraction may be met nearly, a number has to be met exactly
    quota = _proportional(sizes, wanted)
    if is_fraction:
        quota = quota.clip(1, np.maximum(sizes - leave, 1))
    for name, size, held in zip(classes, sizes, quota, strict=True):
        if not 0 < held <= size - leave:
            images = f"{size} image{'' if size == 1 else 's'}"
            needed = f"an image in each part, so {1 + leave} or more" if size <= leave else "a fraction, say 0.1"
            raise UsageError(f"class '{name}' has {images}, too few for {part}={count:g}: it needs {needed}")
    return _divide(labels, quota, seed)


def hold_out_each(
    labels: Indices, count: int, seed: int, classes: list[str], part: str, leave: int = 1
) -> tuple[Indices, Indices]:
    """`hold_out` with exactly `count` images of every class, large or small."""
    check_number(part, count, low=1)
    sizes = np.bincount(labels, minlength=len(classes))
    smallest = int(sizes.argmin())
    if count > sizes[smallest] - leave:
        raise UsageError(
            f"{part}={count} does not fit: class '{classes[smallest]}' has {sizes[smallest]} images to draw from, "
            f"use 1 to {max(sizes[smallest] - leave, 1)}"
        )
    return _divide(labels, np.full(len(classes), count), seed)


def train_and_val(
    labels: Indices, val: float, train_images: float | None, seed: int, classes: list[str]
) -> dict[str, Indices]:
    """Positions of the training and validation parts; `train_images` keeps only so many of the former, stratified.

    The validation part does not depend on `train_images`.
    """
    kept, held = hold_out(labels, val, seed, classes, "dataset.val")
    return {"train": kept[only(labels[kept], train_images, seed, classes)], "val": held}


def only(labels: Indices, train_images: float | None, seed: int, classes: list[str]) -> Indices:
    """Positions of `train_images` images, stratified; of all where it is None."""
    if train_images is None:
        return np.arange(len(labels))
    return hold_out(labels, train_images, seed, classes, "dataset.train_images", leave=0)[1]


def _divide(labels: Indices, quota: Indices, seed: int) -> tuple[Indices, Indices]:
    """Hold out `quota[c]` images of each class c."""
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label, held in enumerate(quota):
        held_out[generator.permutation(np.flatnonzero(labels == label))[:held]] = True
    return generator.permutation(np.flatnonzero(~held_out)), generator.permutation(np.flatnonzero(held_out))


def _proportional(sizes: Indices, wanted: int) -> Indices:
    """Shares of `wanted` in proportion to `sizes`, summing exactly to it (largest remainders)."""
    exact = sizes * wanted / sizes.sum()
    shares = np.floor(exact).astype(np.int64)
    rest = np.argsort(shares - exact, kind="stable")[: wanted - shares.sum()]
    shares[rest] += 1
    return shares
