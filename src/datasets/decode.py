"""Image files to uint8 pixels.

N images, C channels (3 RGB, 1 grey), S px a side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from src.datasets.folder import Files
from src.runtime.errors import UsageError

Pixels = NDArray[np.uint8]

VERSION = 1
"""Of the decoding, part of the cache's key: raise it when the same file would give other pixels."""


class Reader(Protocol):
    """Reads one file to pixels (C, S, S)."""

    @property
    def channels(self) -> int:
        """C, 3 or 1."""

    @property
    def size(self) -> int:
        """S, px a side."""

    def __call__(self, path: str) -> Pixels:
        """Read a file; raises a UsageError that names it."""


@dataclass(frozen=True)
class SquareReader:
    """The central square of an image, scaled to `size` px; without `resize` other sizes are refused."""

    channels: int
    size: int
    resize: bool

    def __call__(self, path: str) -> Pixels:
        """Pixels (C, S, S)."""
        image = read_image(path, self.channels)
        if not self.resize and image.size != (self.size, self.size):
            raise UsageError(
                f"{path} is {image.width}x{image.height} px, other images are {self.size}x{self.size}: "
                "image_size=<pixels> brings all to one size"
            )
        return to_pixels(fit(image, self.size))

    @property
    def key(self) -> str:
        """All that the pixels depend on besides the file."""
        return f"{VERSION} {PIL.__version__} {self.channels} {self.size}"


def square_reader(files: Files, image_size: int | None, channels: int) -> SquareReader:
    """A reader to `image_size` px, or if None to the size of the first file.

    Raises:
        UsageError: the first file is not square and there is no size to bring it to; channels other than 1 or 3.
    """
    if channels not in (1, 3):
        raise UsageError(f"dataset.channels={channels} is not possible: use 3 (RGB) or 1 (grey)")
    if image_size is not None:
        return SquareReader(channels, image_size, resize=True)
    # the first file decides for all: reading thousands of headers would take minutes
    first = read_image(files.path(0), channels)
    if first.width != first.height:
        raise UsageError(
            f"{files.path(0)} is {first.width}x{first.height} px and networks need squares: "
            "image_size=<pixels> crops and scales all images"
        )
    return SquareReader(channels, first.width, resize=False)


def read_image(path: str, channels: int = 3) -> Image.Image:
    """The first frame as 8-bit RGB (3 channels) or grey (1), upright by its EXIF tag, over white where transparent."""
    try:
        with Image.open(path) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return opaque(image).convert("RGB" if channels == 3 else "L")
    except Exception as error:  # decoders raise all kinds: OSError, SyntaxError, struct.error, ...
        is_unknown = isinstance(error, UnidentifiedImageError)
        reason = "not an image of a known format" if is_unknown else " ".join(str(error).split())
        raise UsageError(f"cannot read image {path}: {reason or type(error).__name__}") from error


def opaque(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel without transparency; 16-bit greys v become v / 257."""
    # scaled before any conversion: v / 257 brings 65535 to 255 exactly
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels exceed 16 bits")
        # rounded to the nearest of the 256 levels
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; store 8 or 16 bits")
    # what is transparent lies on white, as viewers show it
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def fit(image: Image.Image, size: int) -> Image.Image:
    """The central square at `size` px: shrunk by area averages (as Downsampled ImageNet), enlarged bicubically."""
    if image.size == (size, size):
        return image
    # area averages do not alias when an image shrinks; enlarged, they would repeat pixels
    shrinks = size <= min(image.size)
    return ImageOps.fit(image, (size, size), Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)


def to_pixels(image: Image.Image) -> Pixels:
    """An image of mode L or RGB to (C, H, W)."""
    values = np.array(image, dtype=np.uint8)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def decode(files: Files, reader: Reader, progress: str | None = "decoding images") -> Pixels:
    """Pixels (N, C, S, S) of all files, read by one thread per core."""
    # threads, not processes: decoders release Python's lock, and no process has to be started
    pixels = np.empty((len(files), reader.channels, reader.size, reader.size), np.uint8)

    def read(position: int) -> None:
        pixels[position] = reader(files.path(position))

    with ThreadPoolExecutor(cores()) as pool:
        done = pool.map(read, range(len(files)))  # the first error cancels what has not begun
        for _ in tqdm(done, progress, len(files), leave=False, delay=2, unit="img", disable=progress is None):
            pass
    return pixels


def decode_ahead(files: Files, reader: Reader, batch_size: int) -> Iterator[Pixels]:
    """Batches (B, C, S, S) of the files in order, one decoded while another is used."""
    chunks = (files.take(slice(start, start + batch_size)) for start in range(0, len(files), batch_size))
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for chunk in chunks:
            ready, waiting = waiting, pool.submit(decode, chunk, reader, None)
            if ready is not None:
                yield ready.result()  # while the caller uses it, the pool decodes the next one
        if waiting is not None:
            yield waiting.result()


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
