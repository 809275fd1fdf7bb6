"""Settings of the supernet step: how the gradients of an update become a step, and what changes as a run goes on.

R routes of an update.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from src.runtime.errors import UsageError

WAYS = ("serial", "window", "compiled")


@dataclass(frozen=True)
class StepSettings:
    """Settings that turn the gradients of an update into a step; the defaults are FairNAS's."""

    way: str = "serial"
    """One route after another (`serial`), or all routes of an update layer by layer (`window`): the same update, up to
    rounding. `compiled` is the window as a static graph, with the permutations as its input (compiled.py)."""
    reduction: str = "sum"
    """`sum` over the R routes (stem and tail get R gradients), or their `mean`."""
    unsampled: str = "frozen"
    """Choices off the routes stay `frozen`, or go on `drifting` under momentum and weight decay (gradient 0)."""
    clip_norm: float | None = None
    """Largest gradient norm; None: no clipping."""
    clip: str = "after"
    """Clip the sum of the gradients (`after` summing), or each route's own (`before`)."""
    label_smoothing: float = 0.0
    ema: float | None = None
    """Decay of an average of the weights, which is scored instead of the last ones (weight_average.py); None: none."""
    gradient_noise: float = 0.0
    """Standard deviation of normal noise that is added to the gradients of sampled operations, before clipping."""
    noise_seed: int = 0
    gradient_variance: bool = False
    """Measure the variance of the gradient (gradient_variance.py)."""

    def __post_init__(self) -> None:
        if not 0 <= self.gradient_noise < math.inf:
            raise UsageError(f"step.gradient_noise={self.gradient_noise}: give a standard deviation of at least 0")


@dataclass(frozen=True)
class StepSchedule:
    """Settings that change as a run goes on; supernet steps are counted from 0."""

    learning_rate: Callable[[int], float]
    """Of a supernet step."""
    split_step: int | None = None
    """Before this step every operation is copied for each previous choice; None: never."""
    epoch_steps: int = 1
    """Supernet steps of an epoch."""

    def epoch(self, step: int) -> int:
        """The epoch that a step belongs to."""
        return step // self.epoch_steps

    def ends_epoch(self, step: int) -> bool:
        """Whether a step is the last of its epoch."""
        return (step + 1) % self.epoch_steps == 0
