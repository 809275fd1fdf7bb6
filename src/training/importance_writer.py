"""Writes importance.csv: what samplers, orders and other observers drew in an epoch, and what they learnt from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from src.runtime.run_folder import IMPORTANCE, IMPORTANCE_COLUMNS, append_rows
from src.training.step import SupernetStep


class ImportanceWriter(pl.Callback):
    """Appends the rows of all observers after each whole epoch; writes no file where none has any.

    It goes before Checkpoints among the callbacks, so that no row up to a checkpoint's step is missing.
    """

    def __init__(self, folder: Path, labels: Tensor) -> None:
        """`labels` (N,) of the training part."""
        self.folder, self.labels = folder, labels

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Write the rows if an epoch ends with this step."""
        assert isinstance(module, SupernetStep)
        last = module.steps - 1
        if not (module.schedule.ends_epoch(last) and trainer.is_global_zero):
            return
        rows = [row for observer in module.observers for row in observer.epoch_rows(self.labels)]
        if rows:
            head = {"step": module.steps, "epoch": module.schedule.epoch(last)}
            append_rows(self.folder / IMPORTANCE, IMPORTANCE_COLUMNS, [head | row for row in rows])
        # figures of no layer or choice are curves for the loggers too; metrics.csv has the gradient's variance
        single = [row for row in rows if len(row) == 2 and not row["figure"].startswith("gradient_variance")]
        figures = {f"importance/{row['figure']}": float(row["value"]) for row in single}
        for logger in trainer.loggers if figures else ():
            logger.log_metrics(figures, step=module.steps)
