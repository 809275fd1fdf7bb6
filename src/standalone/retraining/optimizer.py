"""A recipe's optimizer and learning rate, by timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from timm.scheduler import CosineLRScheduler, StepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from src.runtime.errors import UsageError
from src.training.budget import Budget


@dataclass(frozen=True)
class Schedule:
    """A learning rate by step: linear warm-up to `peak`, then half a cosine, or a staircase."""

    kind: str
    """cosine or step."""
    peak: float
    steps: int
    warmup: int
    """Steps of the warm-up."""
    first: float
    """Learning rate of the first warm-up step."""
    final: float
    """At the end of the cosine."""
    decay_steps: float
    """Length of a stair."""
    decay_rate: float | None
    """Factor from one stair to the next."""

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any], batch_size: int, budget: Budget, is_cut: bool) -> Schedule:
        """The recipe's schedule at a batch size, its peak scaled linearly from the recipe's batch (Goyal et al. 2017).

        A run that its budget cuts short (`is_cut`) may end within the warm-up, as a supernet's does.

        Raises:
            UsageError: the warm-up is not shorter than a run of the recipe's own length.
        """
        peak = recipe["lr"] * batch_size / (recipe["lr_batch"] or batch_size)
        warmup = round(recipe["warmup_epochs"] * budget.epoch_steps)
        if warmup >= budget.steps:
            epochs = f"{recipe['warmup_epochs']:g} is not shorter than the run of {budget.epochs:g} epochs"
            if not is_cut:
                raise UsageError(f"recipe.warmup_epochs={epochs}: use less, or 0 for none")
            print(f"recipe.warmup_epochs={epochs}, so its learning rate stays below {peak:g}")
        first = peak / (warmup + 1) if recipe["warmup_lr"] is None else recipe["warmup_lr"]
        decay = (recipe["decay_epochs"] or 0) * budget.epoch_steps
        ends = (recipe["final_lr"], decay, recipe["decay_rate"])
        return cls(recipe["schedule"], peak, budget.steps, warmup, first, *ends)


def make_optimizer(recipe: Mapping[str, Any], lr: float, net: nn.Module) -> Optimizer:
    """timm's optimizer of the recipe's name.

    Raises:
        UsageError: it does not exist, or refuses a setting.
    """
    from timm.optim import create_optimizer_v2  # late: it registers a hundred of them

    try:
        return create_optimizer_v2(
            net,
            recipe["optimizer"],
            lr,
            recipe["weight_decay"],
            recipe["momentum"],
            filter_bias_and_bn=not recipe["norm_decay"],
            **(recipe["optimizer_options"] or {}),
        )
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise UsageError(
            f"recipe.optimizer={recipe['optimizer']}: {error}; use timm's momentum, sgd, rmsproptf or adamw"
        ) from None


def make_scheduler(schedule: Schedule) -> Callable[[Optimizer], Scheduler]:
    """timm's scheduler, counted in steps."""
    common: dict[str, Any] = {
        "warmup_t": schedule.warmup,
        "warmup_lr_init": schedule.first,
        "t_in_epochs": False,
    }
    if schedule.kind == "step":
        stairs: dict[str, Any] = {"decay_t": schedule.decay_steps, "decay_rate": schedule.decay_rate}
        return partial(StepLRScheduler, warmup_prefix=False, **stairs, **common)
    # Of a length of 1 timm warns that it changes nothing, which is right for a single step.
    length = max(schedule.steps - schedule.warmup, 2)
    return partial(CosineLRScheduler, t_initial=length, lr_min=schedule.final, warmup_prefix=True, **common)
