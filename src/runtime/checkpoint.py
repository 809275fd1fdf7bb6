"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from src.runtime.run_folder import PREVIOUS, is_whole_archive


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, then renames; what was there before stays as previous.ckpt."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save so that at every moment one whole checkpoint is in the folder."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        with temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        if is_whole_archive(target):  # a damaged one must not push out the good one before it
            keep_as(target, target.with_stem(PREVIOUS))
        temporary.replace(target)


def keep_as(target: Path, previous: Path) -> None:
    """Give the file a second name, so that it outlives the rename over its first; copy where links are unknown."""
    spare = previous.with_suffix(".spare")
    spare.unlink(missing_ok=True)
    try:
        os.link(target, spare)
    except OSError:
        shutil.copyfile(target, spare)
    spare.replace(previous)
