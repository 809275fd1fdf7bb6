"""Writes down what a retraining does: metrics.csv, the loggers, the progress bar."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn
from tqdm import tqdm

from src.datasets.dataset import Dataset
from src.runtime.progress import progress
from src.runtime.run_folder import METRICS, append_rows
from src.standalone.bare_loop import accuracy
from src.standalone.retraining.module import Retraining
from src.training.budget import Budget
from src.training.metrics_writer import LogSchedule, Throughput

COLUMNS = (
    "step",
    "epoch",  # of the training part, fractional
    "train/loss",  # mean since the last row, label smoothing included
    "train/accuracy",  # top-1 of the augmented images since the last row, in [0, 1]
    "train/lr",  # of the last step
    "train/backward_passes",  # cumulative; one a step
    "val/accuracy",  # top-1 of the weights as they are, in [0, 1]
    "val/accuracy_ema",  # of their moving average
    "train/images_per_second",  # wall clock, as is the next
    "wall_seconds",
)


class RetrainingMetricsWriter(pl.Callback):
    """Goes before Checkpoints, so that no row up to a checkpoint's step is missing."""

    def __init__(self, folder: Path, budget: Budget, schedule: LogSchedule, dataset: Dataset) -> None:
        """Validates on the validation part of `dataset`."""
        self.folder, self.budget, self.schedule, self.dataset = folder, budget, schedule, dataset
        self.clock = Throughput()
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the progress bar where the run stands."""
        assert isinstance(module, Retraining)
        self.bar = progress("retrain", "step", self.budget.steps, module.steps)
        self.clock.restart()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """After each step: move the bar, and write the row that is due."""
        assert isinstance(module, Retraining)
        self.clock.images += len(batch.labels)
        if self.bar is not None:
            self.bar.update()
        if self.schedule.is_row(module.steps, self.budget.steps):
            self._write(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Close the progress bar before the error is shown."""
        if self.bar is not None:
            self.bar.close()

    def _write(self, trainer: pl.Trainer, module: Retraining) -> None:
        module.refuse_non_finite()
        row: dict[str, Any] = {
            "step": module.steps,
            "epoch": round(module.steps / self.budget.epoch_steps, 4),
            **module.means.take(),
            "train/lr": module.lr,
            "train/images_per_second": self.clock.rate(),
        }
        if self.schedule.is_validation(module.steps, self.budget.steps):
            row |= self._validate(module)
        row["wall_seconds"] = round(module.stopwatch.seconds(), 2)
        append_rows(self.folder / METRICS, COLUMNS, [row])
        for logger in trainer.loggers:
            logger.log_metrics({key: float(value) for key, value in row.items()}, step=module.steps)
        if self.bar is not None:
            self.bar.set_postfix(
                loss=f"{row['train/loss']:.3f}", accuracy=f"{row['train/accuracy']:.3f}", refresh=False
            )

    def _validate(self, module: Retraining) -> dict[str, float]:
        """The clock of the training rate stands still."""
        started = time.monotonic()
        found = {"val/accuracy": validated(module.net, self.dataset, module)}
        if module.ema is not None:
            found["val/accuracy_ema"] = validated(module.ema.module, self.dataset, module)
        self.clock.pause(time.monotonic() - started)
        return found


def validated(net: nn.Module, dataset: Dataset, module: Retraining, part: str = "val") -> float:
    """Top-1 of a network over a part, with its running statistics; its mode is left as found."""
    was_training = net.training
    net.eval()
    found = accuracy(net, dataset, part, device=module.device)
    net.train(was_training)
    return found
