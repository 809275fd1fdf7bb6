"""When checkpoints are saved: between two steps, by time, at the end, and before a run stops."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from src.runtime.stored_run import checkpoint_path
from src.training.run_state import RunState


class Checkpoints(pl.Callback):
    """Saves after the first step, then every `every_seconds` at most, after the last step, and before an interrupt.

    Only ever between two steps: within a plan some updates are made and others are not.
    """

    def __init__(self, folder: Path, steps: int, every_seconds: float) -> None:
        self.path, self.steps, self.every_seconds = checkpoint_path(folder), steps, every_seconds
        self.saved_at = -float("inf")

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Save if it is due; end the run if a signal asked for it or its order has settled. The first process saves."""
        assert isinstance(module, RunState)
        is_last = module.steps >= self.steps or module.is_settled
        due = is_last or module.stopping or time.monotonic() - self.saved_at >= self.every_seconds
        if due and trainer.is_global_zero:
            module.refuse_non_finite()  # a good checkpoint is never replaced by a diverged one
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()
        if module.stopping or module.is_settled:
            trainer.should_stop = True
