"""Stratified, seeded splits into train, validation and test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from src.errors import UsageError

Indices = NDArray[np.int64]


def hold_out(labels: Indices, count: float, seed: int, classes: list[str], part: str) -> tuple[Indices, Indices]:
    """Divide positions 0..N-1 into (kept, held out), every class in proportion, both shuffled.

    Args:
        labels: (N,) class of each image.
        count: images to hold out, or a fraction of all if below 1.
        seed: the same seed gives the same split.
        classes: names, for the error.
        part: name of the held-out part, for the error.

    Raises:
        UsageError: a class would be left without an image on either side; it is named.
    """
    total = len(labels)
    wanted = round(count * total) if count < 1 else int(count)
    sizes = np.bincount(labels, minlength=len(classes))
    if not len(classes) <= wanted <= total - len(classes):
        raise UsageError(
            f"{part}={count:g} asks for {wanted} of {total} images in {len(classes)} classes: "
            f"use {len(classes)} to {total - len(classes)}, or a fraction below 1"
        )
    quota = _proportional(sizes, wanted)
    for name, size, held in zip(classes, sizes, quota, strict=True):
        if not 0 < held < size:
            raise UsageError(f"class '{name}' has {size} images, too few for {part}={count:g}: it needs both parts")
    generator = np.random.default_rng(seed)
    held_out = np.zeros(total, dtype=bool)
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
