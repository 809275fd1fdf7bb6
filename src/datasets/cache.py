"""A disk cache of decoded image files, addressed by the content of the files and not by where they lie."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from src.datasets.decode import Pixels, SquareReader, decode
from src.datasets.folder import Files
from src.runtime.errors import MACHINE_ERRORS, RunError, UsageError


def decode_cached(files: Files, reader: SquareReader, folder: str | None) -> Pixels:
    """Pixels (N, C, S, S) of all files, from the cache folder or else decoded and stored there; None: no cache.

    Reading and hashing 60,000 CIFAR-10 images takes 0.4 s, decoding them 6 s.
    """
    if folder is None:
        return decode(files, reader)
    path = Path(folder) / f"{content_key(files, reader)}.npz"
    shape = (len(files), reader.channels, reader.size, reader.size)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            stored: Pixels = archive["pixels"]  # the archive's CRC-32 detects damage
        if stored.shape == shape and stored.dtype == np.uint8:
            return stored
    except Exception:  # no file yet, or a damaged one, which raises anything: BadZipFile, ValueError, ...
        pass
    pixels = decode(files, reader)
    store_pixels(path, pixels)
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


def store_pixels(path: Path, pixels: Pixels) -> None:
    """Write pixels (N, C, S, S) atomically: a kill at any moment, or a second writer, leaves a whole file or none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # in the same folder, since a rename is atomic within one file system only
        handle, temporary = tempfile.mkstemp(".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, pixels=pixels)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        kind = RunError if error.errno in MACHINE_ERRORS else UsageError
        raise kind(
            f"cannot write the cache {path.parent}: {error.strerror}; "
            "dataset.cache=<folder> puts it elsewhere, dataset.cache=null does without"
        ) from error
