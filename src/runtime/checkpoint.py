"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from src.runtime.run_folder import PREVIOUS, is_whole_archive, replace_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, then renames; what was there before stays as previous.ckpt."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save so that at every moment one whole checkpoint is in the folder."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)

        def keep_old() -> None:
            if is_whole_archive(target):  # a damaged one must not push out the good one before it
                keep_as(target, target.with_stem(PREVIOUS))

        write_tensors(checkpoint, target, keep_old)


def write_tensors(value: Any, path: Path, before: Callable[[], None] = lambda: None) -> None:
    """`torch.save` by `replace_file`, in memory first: on a full disk torch's own writer hides the cause."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    replace_file(path, buffer.getbuffer(), before)


def write_safetensors(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """A state_dict as safetensors, the file that Hugging Face and timm look for: tensors alone, and no code in it."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    replace_file(path, safetensors.torch.save(plain, metadata={"format": "pt"}))


def keep_as(target: Path, previous: Path) -> None:
    """Give the file a second name, so that it outlives the rename over its first; copy where links are unknown."""
    # under a third name first: the rename over `previous` is atomic
    spare = previous.with_suffix(".spare")
    spare.unlink(missing_ok=True)
    try:
        os.link(target, spare)
    except OSError:
        try:
            shutil.copyfile(target, spare)
        except OSError:
            spare.unlink(missing_ok=True)
            raise
    spare.replace(previous)
