"""Writes importance.csv: what samplers, orders and other observers drew in an epoch, and what they learnt from it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
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
        # curves for the loggers too; metrics.csv has the gradient's variance
        figures = {curve_name(row): float(row["value"]) for row in rows if not row["figure"].startswith("gradient")}
        for logger in trainer.loggers if figures else ():
            logger.log_metrics(figures, step=module.steps)


def logged_epochs(folder: Path) -> dict[int, dict[str, float]]:
    """Curves of importance.csv by step, for records that begin anew (loggers.log_again)."""
    steps: dict[int, dict[str, float]] = {}
    if not (folder / IMPORTANCE).exists():
        return steps
    with (folder / IMPORTANCE).open(newline="") as lines:
        for cells in csv.DictReader(lines):
            row = {name: value for name, value in cells.items() if value}
            if not row["figure"].startswith("gradient"):
                steps.setdefault(int(row["step"]), {})[curve_name(row)] = float(row["value"])
    return steps


def curve_name(row: Mapping[str, Any]) -> str:
    """`importance/entropy/2` of a layer, `importance/probability/2_k3_e6` of its choice, `importance/smoothing`."""
    places = [str(row[key]) for key in ("layer", "name" if row.get("name") else "choice") if row.get(key) is not None]
    return "/".join(["importance", row["figure"], *(["_".join(places)] if places else [])])
