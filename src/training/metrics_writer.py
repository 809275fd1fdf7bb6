"""Writes metrics.csv, counts.csv, the loggers' metrics and the progress bar while a run trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from src.runtime.progress import progress
from src.runtime.run_folder import (
    COUNT_COLUMNS,
    COUNTS,
    METRICS,
    OPERATION_COUNTS,
    VALIDATION,
    VALIDATION_COLUMNS,
    append_rows,
)
from src.search_spaces.space import SearchSpace
from src.supernet.evaluator import Score
from src.supernet.path import ArchPath, format_path
from src.training.budget import Budget
from src.training.meters import Throughput
from src.training.run_state import RunState
from src.training.step import SupernetStep


@dataclass(frozen=True)
class LogSchedule:
    """Metrics rows of a whole run, and validations among them, evenly spaced in steps."""

    rows: int = 100
    validations: int = 20

    def is_row(self, step: int, steps: int) -> bool:
        """Whether a row is due after `step` of `steps`; after the first and the last it always is."""
        return step == 1 or is_due(step, steps, self.rows) or self.is_validation(step, steps)

    def is_validation(self, step: int, steps: int) -> bool:
        """Whether a validation is due after `step` of `steps`; after the last it always is."""
        return is_due(step, steps, self.validations)


def is_due(step: int, steps: int, times: int) -> bool:
    """Whether something that happens `times` times in a run, evenly spaced, happens after `step`."""
    return step * times // steps != (step - 1) * times // steps or step == steps


class MetricsWriter(pl.Callback):
    """One row of metrics.csv whenever one is due; counts complete steps, not Lightning's batches.

    It goes before Checkpoints among the callbacks, so that no row up to a checkpoint's step is missing.
    """

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        schedule: LogSchedule,
        columns: Sequence[str],
        validate: Callable[[], dict[str, float]],
        label: str = "train",
    ) -> None:
        """`columns` of the file; `validate()` measures those that a validation fills; `label` names the bar."""
        self.folder, self.budget, self.schedule = folder, budget, schedule
        self.columns, self.validate, self.label = columns, validate, label
        self.throughput = Throughput()
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open the progress bar at the step the run stands at."""
        assert isinstance(module, RunState)
        if trainer.is_global_zero:
            self.bar = progress(self.label, "step", self.budget.steps, module.steps)
        self.throughput.restart()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """After each step: move the bar, and write the row if one is due."""
        assert isinstance(module, RunState)
        self.throughput.images += module.images_of(batch)
        if self.bar is not None:
            self.bar.update()
        if self.schedule.is_row(module.steps, self.budget.steps):
            self.write_row(trainer, module)

    def write_row(self, trainer: pl.Trainer, module: RunState) -> None:
        """Measure one row; every process takes part in a validation, the first one writes."""
        # A GPU is waited for here anyway: the meters are read.
        module.refuse_non_finite()
        row: dict[str, Any] = {
            "step": module.steps,
            "epoch": round(module.steps / self.budget.epoch_steps, 4),
            **module.meters.take(),
            "train/lr": module.lr,
            **module.extra_metrics(),
            "train/images_per_second": self.throughput.rate(),
        }
        if self.schedule.is_validation(module.steps, self.budget.steps):
            # The training rate does not count the time of a validation.
            started = time.monotonic()
            row |= self.validate()
            self.throughput.pause(time.monotonic() - started)
        if not trainer.is_global_zero:
            return
        row["wall_seconds"] = round(module.stopwatch.seconds(), 2)
        append_rows(self.folder / METRICS, self.columns, [row])
        for logger in trainer.loggers:
            logger.log_metrics({key: float(value) for key, value in row.items()}, step=module.steps)
        if self.bar is not None:
            loss, accuracy = row["train/loss"], row["train/accuracy"]
            self.bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.3f}", refresh=False)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Close the progress bar before the error is shown."""
        self.on_train_end(trainer, module)


def record_validation(
    folder: Path, module: RunState, space: SearchSpace, scores: Sequence[tuple[ArchPath, Score]]
) -> None:
    """Append the scores of a validation's paths to validation.csv."""
    rows = [{"step": module.steps, "path": format_path(p), "arch": space.format(p), **s._asdict()} for p, s in scores]
    append_rows(folder / VALIDATION, VALIDATION_COLUMNS, rows)


class CountsWriter(pl.Callback):
    """Appends to counts.csv how often each choice was trained, after each epoch and after the last step.

    Where operations are not choices one to one, operation_counts.csv tells how often each was run.
    """

    def __init__(self, folder: Path, budget: Budget) -> None:
        self.folder, self.budget = folder, budget

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Write the cumulative counts if an epoch or the run ends with this step."""
        assert isinstance(module, SupernetStep)
        is_last = module.steps == self.budget.steps or module.is_settled
        if (is_last or module.steps % self.budget.epoch_steps == 0) and trainer.is_global_zero:
            append_rows(self.folder / COUNTS, COUNT_COLUMNS, module.counts.rows(module.steps))
            if rows := module.counts.operation_rows(module.steps):
                append_rows(self.folder / OPERATION_COUNTS, COUNT_COLUMNS, rows)
