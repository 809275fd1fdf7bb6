"""A recipe's optimizer and learning rate, by timm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from omegaconf import DictConfig
from timm.scheduler import CosineLRScheduler, StepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from src.runtime.errors import UsageError
from src.training.budget import Budget


def peak_lr(cfg: DictConfig) -> float:
    """The recipe's learning rate, scaled linearly from the batch that it is meant for (Goyal et al. 2017)."""
    return cfg.recipe.lr * cfg.batch_size / (cfg.recipe.lr_batch or cfg.batch_size)


def make_optimizer(cfg: DictConfig, net: nn.Module) -> Optimizer:
    """timm's optimizer of that name.

    Raises:
        UsageError: it does not exist, or refuses a setting.
    """
    from timm.optim import create_optimizer_v2  # late: it registers a hundred of them

    recipe = cfg.recipe
    try:
        return create_optimizer_v2(
            net,
            recipe.optimizer,
            peak_lr(cfg),
            recipe.weight_decay,
            recipe.momentum,
            filter_bias_and_bn=not recipe.norm_decay,
            **(recipe.optimizer_options or {}),
        )
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise UsageError(
            f"recipe.optimizer={recipe.optimizer}: {error}; use timm's momentum, sgd, rmsproptf or adamw"
        ) from None


def make_scheduler(cfg: DictConfig, budget: Budget) -> Callable[[Optimizer], Scheduler]:
    """timm's schedule, counted in steps: half a cosine to the last one, or stairs from the first.

    A run that its budget cuts short may end within the warm-up, as a supernet's does.

    Raises:
        UsageError: the warm-up is not shorter than a run of the recipe's own length.
    """
    recipe, peak = cfg.recipe, peak_lr(cfg)
    warmup = round(recipe.warmup_epochs * budget.epoch_steps)
    if warmup >= budget.steps:
        line = f"recipe.warmup_epochs={recipe.warmup_epochs:g} is not shorter than the run of {budget.epochs:g} epochs"
        if cfg.budget.steps is None and cfg.budget.epochs is None:
            raise UsageError(f"{line}: use less, or 0 for none")
        print(f"{line}, so its learning rate stays below {peak:g}")
    first = peak / (warmup + 1) if recipe.warmup_lr is None else recipe.warmup_lr
    common: dict[str, Any] = {"warmup_t": warmup, "warmup_lr_init": first, "t_in_epochs": False}
    if recipe.schedule == "step":
        decay = recipe.decay_epochs * budget.epoch_steps
        return partial(StepLRScheduler, decay_t=decay, decay_rate=recipe.decay_rate, warmup_prefix=False, **common)
    length = max(budget.steps - warmup, 2)  # of 1 timm says that it changes nothing, which is so of a single step
    return partial(CosineLRScheduler, t_initial=length, lr_min=recipe.final_lr, warmup_prefix=True, **common)
