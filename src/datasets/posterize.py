"""Keeps timm's policies as they were before Pillow 13, which refuses to posterize to 0 bits; it once painted black."""

from __future__ import annotations

from typing import Any

from PIL import Image
from timm.data import auto_augment


def posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """The `bits` highest of 8 bits a channel; policies v0 and rand-m10 or -inc1 ask for 0 of them at times."""
    if bits > 0:
        return auto_augment.posterize(image, bits)
    return Image.new(image.mode, image.size)


def mend_posterize() -> None:
    """Make timm's policies that are created from now on use `posterize`."""
    # timm looks operations up by name when a policy is created, so its table is the place to change
    for name in ("Posterize", "PosterizeIncreasing", "PosterizeOriginal"):
        auto_augment.NAME_TO_OP[name] = posterize
