"""Checkpoints that survive a kill at any moment, and a readable refusal of those that did not."""

from __future__ import annotations

import os
import pickle
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any, Protocol, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from src.runtime.errors import UsageError
from src.runtime.run_folder import CHECKPOINTS

LAST, PREVIOUS = "last", "previous"
FOREIGN = (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)
"""What torch raises of a whole archive that it did not write."""


def checkpoint_path(folder: Path, which: str = LAST) -> Path:
    """Where a run folder keeps its `last` or `previous` checkpoint."""
    return folder / CHECKPOINTS / f"{which}.ckpt"


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
        if _is_whole(target):  # a damaged one must not push out the good one before it
            _keep(target, target.with_stem(PREVIOUS))
        temporary.replace(target)


def _keep(target: Path, previous: Path) -> None:
    """Give the file a second name, so that it outlives the rename over its first; copy where links are unknown."""
    spare = previous.with_suffix(".spare")
    spare.unlink(missing_ok=True)
    try:
        os.link(target, spare)
    except OSError:
        shutil.copyfile(target, spare)
    spare.replace(previous)


def read_checkpoint(folder: Path, which: str = LAST, command: str | None = None) -> dict[str, Any] | None:
    """A run folder's checkpoint, None if it has none yet; `command`, such as src.train, must have written it.

    Raises:
        UsageError: it is missing, truncated or damaged (the other one is offered if it is whole), or of another
            command.
    """
    other = PREVIOUS if which == LAST else LAST
    path, beside = checkpoint_path(folder, which), checkpoint_path(folder, other)
    if not path.exists() and not beside.exists():
        return None
    if _is_whole(path):
        return _load(path, command)
    offer = f"add checkpoint={other} to go on from {other}.ckpt" if _is_whole(beside) else "no whole one is beside it"
    raise UsageError(f"checkpoint {path} is {'truncated or damaged' if path.exists() else 'missing'}: {offer}")


def _load(path: Path, command: str | None) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        writer = _writer(saved)
    except FOREIGN as error:
        raise UsageError(f"{path} is no checkpoint of a run: {str(error).splitlines()[0]}") from None
    if command is not None and writer != command:
        raise UsageError(f"{path} was written by {writer or 'something else'}, not by {command}: give another folder")
    return saved


def _writer(saved: Any) -> str | None:
    """The command whose state it is: samplers are of training alone, generations of searching."""
    if not isinstance(saved, dict):
        return None
    if "generation" in saved:
        return "src.search"
    if not isinstance(saved.get("fairpath"), dict):
        return None
    return "src.train" if "sampler" in saved["fairpath"] else "src.retrain"


def _is_whole(path: Path) -> bool:
    """Every byte as it was written: the archive's directory and all its checksums are right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged directory can raise almost anything
        return False


class Counted(Protocol):
    """A LightningModule that counts its own steps."""

    @property
    def steps(self) -> int:
        """Those that are complete."""

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this one."""

    def refuse_non_finite(self) -> None:
        """Stop on a loss that is not finite."""


class Checkpoints(pl.Callback):
    """Saves after the first step, then every `every_seconds` at most, after the last step, and when told to stop.

    Only ever between two supernet steps: within a plan some updates are made and others are not.
    """

    def __init__(self, folder: Path, steps: int, every_seconds: float) -> None:
        self.path, self.steps, self.every_seconds = checkpoint_path(folder), steps, every_seconds
        self.saved_at = -float("inf")

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Save if it is time, and end the run if a signal asked for it. Of several processes the first one saves."""
        counted = cast(Counted, module)
        is_last = counted.steps >= self.steps
        due = is_last or counted.stopping or time.monotonic() - self.saved_at >= self.every_seconds
        if due and trainer.is_global_zero:
            counted.refuse_non_finite()  # a good checkpoint is never replaced by a diverged one
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()
        if counted.stopping:
            trainer.should_stop = True
