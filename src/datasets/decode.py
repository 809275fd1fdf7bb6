"""Image files to uint8 pixels.

N images, C channels (3 RGB, 1 grey), S px a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from src.datasets.folder import Files
from src.datasets.preprocessing import AREA, FULL, Preprocessing, as_pixels, central, upright_frame
from src.runtime.errors import UsageError
from src.runtime.processes import cores

Pixels = NDArray[np.uint8]

AUTO = "auto"
DEEP = (".png", ".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".jp2", ".im")
"""Suffixes of formats that hold 16 bits a pixel."""
PNG = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 178_956_970
"""Pixels of an image beyond which Pillow refuses it: a small file may ask for any amount of memory."""
Image.MAX_IMAGE_PIXELS = None  # ours is a key
VERSION = 1
"""Of the decoding, part of the cache's key: raise it when the same file would give other pixels."""


class UnreadableError(UsageError):
    """An image file that cannot be read."""


class Reader(Protocol):
    """Reads one file to pixels (C, S, S)."""

    @property
    def channels(self) -> int:
        """C, 3 or 1."""

    @property
    def size(self) -> int:
        """S, px a side."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Description of how files become pixels; None where each reading draws at random."""

    def __call__(self, path: str) -> Pixels:
        """Read a file; raises a UsageError that names it."""


@dataclass(frozen=True)
class SquareReader:
    """The central square of an image, scaled to `size` px; without `resize` other sizes are refused."""

    channels: int
    size: int
    resize: bool
    levels: tuple[int, int] = FULL
    """Black and white of 16-bit greys."""
    max_pixels: int = MAX_PIXELS
    """Larger images are refused."""

    @property
    def preprocessing(self) -> Preprocessing:
        """The same without the refusal of other sizes, for files that come later."""
        return Preprocessing(self.channels, self.size, levels=self.levels)

    def __call__(self, path: str) -> Pixels:
        """Pixels (C, S, S)."""
        image = read_image(path, self.channels, self.levels, self.max_pixels)
        if not self.resize and image.size != (self.size, self.size):
            raise UsageError(
                f"{path} is {image.width}x{image.height} px, other images are {self.size}x{self.size}: "
                "image_size=<pixels> brings all to one size"
            )
        return as_pixels(central(image, self.size, None, AREA))

    @property
    def key(self) -> str:
        """All that the pixels depend on besides the file."""
        stretched = "" if self.levels == FULL else f" {self.levels[0]} to {self.levels[1]}"
        return f"{VERSION} {PIL.__version__} {self.channels} {self.size}{stretched}"


def square_reader(
    files: Files,
    image_size: int | None,
    channels: int,
    levels: str | Sequence[int] = FULL,
    max_pixels: int = MAX_PIXELS,
) -> SquareReader:
    """A reader to `image_size` px, or if None to the size of the first file; `levels` as `chosen_levels` takes them.

    Raises:
        UsageError: the first file is not square and there is no size to bring it to; channels other than 1 or 3.
    """
    if channels not in (1, 3):
        raise UsageError(f"dataset.channels={channels} is not possible: use 3 (RGB) or 1 (grey)")
    known = chosen_levels(files, levels)
    if image_size is not None:
        return SquareReader(channels, image_size, True, known, max_pixels)
    # the first file decides for all
    first = read_image(files.path(0), channels, known, max_pixels)
    if first.width != first.height:
        raise UsageError(
            f"{files.path(0)} is {first.width}x{first.height} px and networks need squares: "
            "image_size=<pixels> crops and scales all images"
        )
    return SquareReader(channels, first.width, False, known, max_pixels)


def chosen_levels(files: Files, levels: str | Sequence[int]) -> tuple[int, int]:
    """Black and white of 16-bit greys: the two given, or for `auto` the range of the files' own, printed.

    Microscopes, X-ray and depth cameras write 16 bits and use few of them: over the full range they would keep a few
    of 256 levels. Without such files the levels do not matter.

    Raises:
        UsageError: neither `auto` nor two levels.
    """
    if levels != AUTO:
        values = tuple(levels) if isinstance(levels, Sequence) and not isinstance(levels, str) else ()
        if len(values) != 2 or not all(type(v) is int for v in values) or not 0 <= values[0] < values[1] <= 65535:
            raise UsageError(f"dataset.levels={levels}: give {AUTO}, or black and white from 0 to 65535 as [0,4095]")
        return values[0], values[1]
    # only these are opened: 8-bit files have no levels to find
    some = [path for path in files if may_be_deep(path)]
    with ThreadPoolExecutor(cores()) as pool:
        ranges = [low_and_high for low_and_high in pool.map(grey_range, some) if low_and_high is not None]
    if not ranges:
        return FULL
    # one range for all files, so that brightness can be compared between them
    black, white = min(low for low, _ in ranges), max(high for _, high in ranges)
    if black == white:
        return FULL
    print(f"16-bit greys from {black} to {white}: stretched to 0 to 255 (dataset.levels=[{black},{white}])")
    return black, white


def may_be_deep(path: str) -> bool:
    """Whether a file may hold 16 bits a pixel, by its suffix; a PNG says so itself, in its byte 24."""
    if not path.lower().endswith(DEEP):
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - 60,000 times; Pillow would take ten times as long
            head = file.read(25)
    except OSError:  # the reader names unreadable files
        return False
    return not head.startswith(PNG) or head[24:] == b"\x10"


def grey_range(path: str) -> tuple[int, int] | None:
    """The darkest and the brightest pixel of a 16-bit grey image; None for all others, and for unreadable files."""
    try:
        with Image.open(path) as image:
            if not image.mode.startswith("I"):
                return None
            low, high = (int(end) for end in image.getextrema())  # type: ignore[arg-type]
    except Exception:  # the reader names unreadable files
        return None
    return low, high


def read_image(
    path: str, channels: int = 3, levels: tuple[int, int] = FULL, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The first frame as 8-bit RGB (3 channels) or grey (1); see `preprocessing.upright`.

    Raises:
        UnreadableError: the file is damaged, or larger than `max_pixels`; it is named with the reason.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > max_pixels:
                size = f"{image.width}x{image.height} = {image.width * image.height:,} px"
                raise ValueError(f"{size} are more than dataset.max_pixels={max_pixels}")
            upright_image: Image.Image = upright_frame(image, channels, levels)
    except Exception as error:  # decoders raise all kinds: OSError, SyntaxError, struct.error, ...
        is_unknown = isinstance(error, UnidentifiedImageError)
        reason = "not an image of a known format" if is_unknown else " ".join(str(error).split())
        if is_unknown and Path(path).stat().st_size == 0:
            reason = "the file is empty"
        raise UnreadableError(f"cannot read image {path}: {reason or type(error).__name__}") from error
    return upright_image


def decode(files: Files, reader: Reader, progress: str | None = "decoding images") -> Pixels:
    """Pixels (N, C, S, S) of all files, read by one thread per core.

    Raises:
        UnreadableError: of the first file that cannot be read.
    """
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
