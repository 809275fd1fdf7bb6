"""From an image file to the pixels that a network reads: one description, stored with runs, networks and exports.

The functions take plain values and import late, since an export copies them into its model.py. C channels (3 RGB,
1 grey), S px a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FULL = (0, 65535)
"""Black and white of 16-bit greys that use all their bits."""
AREA = "area"
"""Area averages where an image shrinks, which do not alias; bicubic where it grows, since averages repeat pixels."""


@dataclass(frozen=True)
class Preprocessing:
    """All that the pixels depend on beside the file; normalisation comes after it."""

    channels: int
    size: int
    crop: float | None = None
    """None: the central square. A share p: the shorter side is scaled to floor(S / p), and the middle is cut out."""
    interpolation: str = AREA
    """`area`, or a filter of Pillow: bilinear, bicubic, lanczos."""
    levels: tuple[int, int] = FULL
    """Black and white of 16-bit greys; what lies outside is clipped."""

    def __call__(self, file: Any) -> Any:
        """Pixels (C, S, S) uint8 of a file, as a NumPy array."""
        image = upright(file, self.channels, self.levels)
        return as_pixels(central(image, self.size, self.crop, self.interpolation))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """The settings that `as_dict` wrote."""
        crop, interpolation = stored["crop"], str(stored["interpolation"])
        black, white = stored["levels"]
        return cls(int(stored["channels"]), int(stored["size"]), crop, interpolation, (int(black), int(white)))

    def as_dict(self) -> dict[str, Any]:
        """The settings, and each step in words."""
        return {**asdict(self), "levels": list(self.levels), "steps": self.steps()}

    def steps(self) -> list[str]:
        """Each step in words, from the file to uint8 pixels (C, S, S)."""
        area = "area averages where it shrinks (Pillow's BOX), bicubic where it grows"
        filtered = area if self.interpolation == AREA else self.interpolation
        cut = f"the central square, scaled to {self.size} px: {filtered}"
        if self.crop is not None:
            shorter = int(self.size / self.crop)
            cut = f"the shorter side scaled to {shorter} px ({filtered}), then the central {self.size} px"
        return [
            "the first frame, upright by its EXIF orientation",
            f"16-bit greys: {self.levels[0]} becomes 0 and {self.levels[1]} becomes 255, between them linearly",
            "transparency over white",
            "RGB, 8 bits a channel" if self.channels == 3 else "grey, 8 bits (ITU-R 601 luma)",
            cut,
        ]


def described(preprocessing: Preprocessing | None) -> dict[str, Any] | None:
    """`as_dict`, where there is a description."""
    return None if preprocessing is None else preprocessing.as_dict()


def upright(file: Any, channels: int, levels: tuple[int, int]) -> Any:
    """The first frame of a file as an 8-bit image of Pillow: RGB (3 channels) or grey (1), over white, upright."""
    from PIL import Image

    with Image.open(file) as image:
        return upright_frame(image, channels, levels)


def upright_frame(image: Any, channels: int, levels: tuple[int, int]) -> Any:
    """`upright` of a file that Pillow has opened."""
    from PIL import ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    return opaque(image, levels).convert("RGB" if channels == 3 else "L")


def opaque(image: Any, levels: tuple[int, int]) -> Any:
    """An image of 8 bits a channel without transparency; 16-bit greys are stretched from `levels` to 0 and 255."""
    import numpy as np
    from PIL import Image

    # scaled before any conversion, which would clip at 255; rounded to the nearest of the 256 levels
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels exceed 16 bits")
        black, white = levels
        stretched = ((values - black) * 255 + (white - black) // 2) // (white - black)
        return Image.fromarray(stretched.clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; store 8 or 16 bits")
    # what is transparent lies on white, as viewers show it
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def central(image: Any, size: int, crop: float | None, interpolation: str) -> Any:
    """The middle of an image at `size` px; see Preprocessing.crop and Preprocessing.interpolation."""
    from PIL import Image, ImageOps

    filters = Image.Resampling
    if crop is None:
        if image.size == (size, size):
            return image
        area = filters.BOX if size <= min(image.size) else filters.BICUBIC
        return ImageOps.fit(image, (size, size), area if interpolation == AREA else filters[interpolation.upper()])
    # as torchvision's Resize and CenterCrop, which timm uses
    shorter = int(size / crop)
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    image = image.resize((width, height), filters[interpolation.upper()])
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


def as_pixels(image: Any) -> Any:
    """An image of mode L or RGB to a NumPy array (C, H, W) uint8."""
    import numpy as np

    values = np.array(image, dtype=np.uint8)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
