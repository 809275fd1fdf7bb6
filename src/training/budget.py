"""The length of a run, and its learning rate by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from src.runtime.errors import UsageError

KINDS = ("epochs", "steps", "backward_passes")


@dataclass(frozen=True)
class Budget:
    """The length of a run in supernet steps, and so in the two other currencies."""

    steps: int
    epoch_steps: int
    backward_passes: int
    """Cost of the run: strict fairness pays m of these a step, SPOS one."""

    @property
    def epochs(self) -> float:
        """Passes over the training part."""
        return self.steps / self.epoch_steps


def plan_budget(
    asked: dict[str, float | None], default_epochs: float, epoch_steps: int, passes_in: Callable[[int], int]
) -> Budget:
    """The budget asked for in one of KINDS, or `default_epochs`; backward passes are rounded down to whole steps.

    `passes_in(steps)` are the backward passes of a run of so many steps, more for more steps.

    Raises:
        UsageError: more than one kind, or less than one step.
    """
    budgets = {kind: value for kind, value in asked.items() if value is not None} or {"epochs": default_epochs}
    if len(budgets) > 1:
        raise UsageError(f"{' and '.join(f'budget.{kind}' for kind in budgets)} are both set: give one of {_kinds()}")
    ((kind, value),) = budgets.items()
    per_step = {"epochs": 1 / epoch_steps, "steps": 1, "backward_passes": passes_in(1)}[kind]
    steps = most_steps(value, passes_in) if kind == "backward_passes" else int(value / per_step + 1e-6)
    if steps < 1:
        raise UsageError(f"budget.{kind}={value:g} is less than one step: a step takes {per_step:g} {kind}")
    return Budget(steps, epoch_steps, passes_in(steps))


def most_steps(passes: float, passes_in: Callable[[int], int]) -> int:
    """Steps of the longest run of at most so many backward passes, by bisection."""
    # every step has a pass at least
    low, high = 0, int(passes + 1e-6)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if passes_in(middle) <= passes + 1e-6 else (low, middle - 1)
    return low


def _kinds() -> str:
    return ", ".join(f"budget.{kind}" for kind in KINDS)


def fitting_batch(asked: int, usual: int, images: int, devices: int = 1) -> int:
    """The size of a mini-batch: as asked, but the recipe's `usual` one is no larger than a small training part.

    The lesser one is a multiple of the number of devices.
    """
    most = images - images % devices
    if asked != usual or asked <= images or not most:
        return asked
    print(f"batch_size={most} instead of the recipe's {usual}: the training part has {images} images")
    return most


def cosine(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Learning rate of a step in [0, steps): linear to `peak` over `warmup` steps, then half a cosine to `final`."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(steps - warmup, 1)
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2
