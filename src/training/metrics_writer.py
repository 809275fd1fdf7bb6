"""Writes down what a run does while it trains: metrics.csv, counts.csv, the loggers, the progress bar."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import distributed
from tqdm import tqdm

from src.runtime.progress import progress
from src.runtime.run_folder import COUNT_COLUMNS, COUNTS, METRIC_COLUMNS, METRICS, append_rows
from src.supernet.evaluator import Evaluator, split_paths
from src.supernet.path import ArchPath
from src.training.budget import Budget
from src.training.parallel import Parallelism
from src.training.step import SupernetStep


@dataclass(frozen=True)
class LogSchedule:
    """How many metrics rows, and how many validations among them, a whole run gets, evenly spaced in steps."""

    rows: int = 100
    validations: int = 20

    def is_row(self, step: int, steps: int) -> bool:
        """Whether a row is due after `step` steps; the first and the last always are."""
        return step == 1 or _is_due(step, steps, self.rows) or self.is_validation(step, steps)

    def is_validation(self, step: int, steps: int) -> bool:
        """Whether the fixed paths are scored after `step` steps; after the last they always are."""
        return _is_due(step, steps, self.validations)


def _is_due(step: int, steps: int, times: int) -> bool:
    return step * times // steps != (step - 1) * times // steps or step == steps


class MetricsWriter(pl.Callback):
    """Counts in supernet steps; goes before Checkpoints, so that no row up to a checkpoint's step is missing."""

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        schedule: LogSchedule,
        evaluator: Evaluator,
        paths: Sequence[ArchPath],
    ) -> None:
        """`evaluator` scores the fixed `paths` at each validation."""
        self.folder, self.budget, self.schedule = folder, budget, schedule
        self.evaluator, self.paths = evaluator, list(paths)
        self.clock = Throughput()
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the progress bar where the run stands."""
        assert isinstance(module, SupernetStep)
        if trainer.is_global_zero:
            self.bar = progress("train", "step", self.budget.steps, module.steps)
        self.clock.restart()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """After each step: move the bar, and write the rows that are due."""
        assert isinstance(module, SupernetStep)
        self.clock.images += len(batch.labels) * module.parallelism.images
        if self.bar is not None:
            self.bar.update()
        if self.schedule.is_row(module.steps, self.budget.steps):
            self._write_metrics(trainer, module)
        is_epoch_end = module.steps % self.budget.epoch_steps == 0 or module.steps == self.budget.steps
        if is_epoch_end and trainer.is_global_zero:
            append_rows(self.folder / COUNTS, COUNT_COLUMNS, module.counts.rows(module.steps))

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Close the progress bar before the error is shown."""
        if self.bar is not None:
            self.bar.close()

    def _write_metrics(self, trainer: pl.Trainer, module: SupernetStep) -> None:
        module.refuse_non_finite()
        row: dict[str, Any] = {
            "step": module.steps,
            "epoch": round(module.steps / self.budget.epoch_steps, 4),
            **module.means.take(),
            "train/lr": module.lr,
            "fairness/count_spread": module.counts.spread(),
            "train/images_per_second": self.clock.rate(),
        }
        if self.schedule.is_validation(module.steps, self.budget.steps):
            row |= self._validate(module.parallelism)
        if not trainer.is_global_zero:
            return
        row["wall_seconds"] = round(module.stopwatch.seconds(), 2)
        append_rows(self.folder / METRICS, METRIC_COLUMNS, [row])
        for logger in trainer.loggers:
            logger.log_metrics({key: float(value) for key, value in row.items()}, step=module.steps)
        if self.bar is not None:
            self.bar.set_postfix(
                loss=f"{row['train/loss']:.3f}", accuracy=f"{row['train/accuracy']:.3f}", refresh=False
            )

    def _validate(self, parallelism: Parallelism) -> dict[str, float]:
        """Score the fixed paths with the weights as they are; the clock of the training rate stands still.

        Of several processes each scores a share.
        """
        started = time.monotonic()
        self.evaluator.forget()
        mine = split_paths(self.paths, parallelism.rank, parallelism.size)
        found = all_of([score.accuracy for _, score in self.evaluator.scores(mine)], parallelism.size)
        self.clock.pause(time.monotonic() - started)
        return {
            "supernet/accuracy_mean": statistics.fmean(found),
            "supernet/accuracy_std": statistics.pstdev(found),
            "supernet/accuracy_min": min(found),
            "supernet/accuracy_max": max(found),
        }


def all_of(mine: list[float], processes: int) -> list[float]:
    """The lists of all processes, one after another."""
    if processes == 1:
        return mine
    lists: list[Any] = [None] * processes
    distributed.all_gather_object(lists, mine)
    return [value for values in lists for value in values]


class Throughput:
    """Training rate since the last row, without the time that validation took."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self.since = time.monotonic()
        self.images = 0

    def rate(self) -> float:
        """Images a second since the last call."""
        now = time.monotonic()
        images, seconds = self.images, max(now - self.since, 1e-9)
        self.images, self.since = 0, now
        return round(images / seconds, 1)

    def pause(self, seconds: float) -> None:
        """Leave so many seconds out."""
        self.since += seconds
