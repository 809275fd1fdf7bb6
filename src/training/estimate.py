"""An estimate of the time that a run takes, printed as soon as its first steps have been measured."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from src.datasets.dataset import Dataset
from src.runtime.run_folder import CALIBRATED
from src.search_spaces.costs import CostTable
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from src.training.budget import Budget
from src.training.run_state import RunState

MEASURED = 2.0
"""Seconds of steps to measure, after the first one, which also allocates and compiles."""
WORTH_SAYING = 30.0
"""Shorter runs are over before anyone would read it."""
FORWARD = 1 / 3
"""Cost of a forward pass as a share of forward and backward."""


@dataclass(frozen=True)
class Scoring:
    """Forward passes of single images, in those of a whole path or network."""

    validations: int
    """In a whole run."""
    each: float
    """Passes of one validation."""
    at_the_end: float
    """Passes after the last step."""


class Estimate(pl.Callback):
    """Prints once, on the first process, how long the rest of a run will take."""

    def __init__(self, budget: Budget, scoring: Callable[[], Scoring]) -> None:
        """`scoring()` is asked for only where there is something to say."""
        self.budget, self.scoring = budget, scoring
        self.started: tuple[int, float] | None = None
        self.is_said = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """After each step: start measuring, or say what was measured."""
        assert isinstance(module, RunState)
        if self.is_said or not trainer.is_global_zero:
            return
        # the first step is left out: it allocates, and may compile
        now = time.monotonic()
        if self.started is None:
            self.started = module.steps, now
            return
        # the mean of the steps since then
        first, since = self.started
        if now - since < MEASURED:
            return
        self.is_said = True
        line = self.line((now - since) / (module.steps - first), module.steps, module.images_of(batch))
        if line is not None:
            tqdm.write(line)

    def line(self, step_seconds: float, step: int, images: int) -> str | None:
        """The time after `step` in words, for steps of `step_seconds` on so many `images`; None for a short one."""
        # the cost of a forward pass comes from the step, so that nothing is scored to know it
        left = self.budget.steps - step
        forward = FORWARD * step_seconds * self.budget.steps / (images * self.budget.backward_passes)
        if left * step_seconds < WORTH_SAYING:
            return None
        # validations are spread over the steps, the ranking comes after them
        planned = self.scoring()
        validations = planned.validations * left / self.budget.steps
        scoring = forward * (validations * planned.each + planned.at_the_end)
        total = left * step_seconds + scoring
        steps = f"{left:,} steps of {step_seconds:.2g} s"
        return f"about {in_words(total)} to go: {steps}, {in_words(scoring)} of scoring (budget.steps= sets how many)"


def in_words(seconds: float) -> str:
    """`40 s`, `12 min`, `6 h 50 min`."""
    # to the minute from two minutes on
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def scored_images(dataset: Dataset, images: int | None, calibration_images: int, protocols: Sequence[str]) -> int:
    """Images that scoring one path under each protocol passes forward, those of the calibrations among them."""
    calibrations = sum(protocol in CALIBRATED for protocol in protocols) * dataset.count("train", calibration_images)
    return len(protocols) * dataset.count("val", images) + calibrations


def planned_scoring(
    validations: int,
    each: float,
    images: int,
    net: Supernet,
    paths: Collection[ArchPath],
    costs: Callable[[], CostTable | None],
) -> Scoring:
    """The forward passes of the validations, and of a ranking.

    Args:
        validations: in a whole run.
        each: passes of one validation.
        images: that the ranking scores each path on.
        net: the supernet.
        paths: to be ranked.
        costs: of the choices; None where they are no sums.
    """
    # what paths share is run once
    depths = [segment.depth for segment in net.segments() if segment.is_block]
    table = costs()
    layer_macs = [fmean(choice.macs for choice in layer) for layer in table.choices] if table else []
    return Scoring(validations, each, whole_paths(paths, depths, layer_macs) * images)


def whole_paths(paths: Collection[ArchPath], depths: Sequence[int], layer_macs: Sequence[float]) -> float:
    """Number of whole paths that cost as much as scoring `paths`, whose common prefixes run once.

    Args:
        paths: distinct ones.
        depths: of the supernet's blocks, in order: the choices that each depends on.
        layer_macs: multiply-adds of each layer's choices, on average; where blocks are not layers, all count alike.
    """
    weights = layer_macs if len(layer_macs) == len(depths) else [1.0] * len(depths)
    runs = [len({path[:depth] for path in paths}) for depth in depths]
    return sum(map(operator.mul, runs, weights)) / sum(weights)
