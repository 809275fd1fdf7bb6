"""Decoded image files kept on disk, found again by what the files contain, wherever they lie."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from src.datasets.decode import Pixels, SquareReader, decode
from src.datasets.folder import Files
from src.runtime.errors import UsageError


def decode_cached(files: Files, reader: SquareReader, folder: str | None) -> Pixels:
    """All files as (N, C, S, S), from the cache folder if it has them, else decoded and stored there; None: no cache.

    Reading and hashing 60,000 CIFAR-10 images takes 0.4 s, decoding them 6 s.
    """
    if folder is None:
        return decode(files, reader)
    path = Path(folder) / f"{content_key(files, reader)}.npz"
    shape = (len(files), reader.channels, reader.size, reader.size)
    pixels = _load(path, shape)
    if pixels is None:
        pixels = decode(files, reader)
        _store(path, pixels)
    return pixels


def content_key(files: Files, reader: SquareReader) -> str:
    """32 hex digits over the bytes of the files, in order, and over the reader's settings; names do not count."""
    total = hashlib.blake2b(reader.key.encode(), digest_size=16)
    for path in files:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - 60,000 times
                total.update(hashlib.blake2b(file.read(), digest_size=16).digest())
        except OSError as error:
            raise UsageError(f"cannot read image {path}: {error.strerror}") from error
    return total.hexdigest()


def _load(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """The stored pixels, or None if there are none or the file is damaged: the archive's CRC-32 tells."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            pixels: Pixels = archive["pixels"]
    except Exception:  # damage can surface as anything: BadZipFile, ValueError, NotImplementedError, ...
        return None
    return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None


def _store(path: Path, pixels: Pixels) -> None:
    """Write so that a kill at any moment, or a second writer, leaves a whole file or none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, pixels=pixels)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write the cache {path.parent}: {error.strerror}; "
            "dataset.cache=<folder> puts it elsewhere, dataset.cache=null does without"
        ) from error
