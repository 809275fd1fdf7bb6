"""Rules between the keys of a training configuration, checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.run_folder import FEWEST_ORDERED
from src.runtime.validate import check_keys

USE_INSTEAD = {
    "gradient_clip_val": (None, "step.clip_norm clips the gradients of an update"),
    "accumulate_grad_batches": (1, "the sampler's plan decides what is accumulated: sampler=strict_fair"),
    "max_steps": (None, "budget.steps counts supernet steps"),
    "max_epochs": (None, "budget.epochs sets them"),
}
"""Trainer arguments whose work is done by other keys: the value they keep, and those keys."""


def check_training(cfg: DictConfig) -> None:
    """Refuse, in one line, values that conf/ does not allow and keys that exclude each other."""
    # first: these keys are unknown to conf/, and their message is the better one
    refuse_unused(cfg.trainer, USE_INSTEAD)
    check_keys(cfg, "train")
    budgets = [f"budget.{kind}" for kind, value in cfg.budget.items() if value is not None]
    if len(budgets) > 1:
        raise UsageError(f"{' and '.join(budgets)} are set together: give one of them")
    if cfg.trainer.precision == "16-mixed" and cfg.step.clip_norm is not None:
        raise UsageError("step.clip_norm does not go with trainer.precision=16-mixed: use bf16-mixed or 32-true")

    # what looks at gradients before they are clipped, or adds to them, needs them as they are
    looks = {
        "sampler=path_importance": "importance" in str(cfg.sampler._target_),
        "gradient_variance=true": cfg.gradient_variance,
        "step.gradient_noise": cfg.step.gradient_noise > 0,
    }
    for key in (key for key, is_on in looks.items() if is_on):
        if cfg.step.clip_norm is not None and cfg.step.clip == "before":
            raise UsageError(f"step.clip=before does not go with {key}: use step.clip=after")
        if cfg.trainer.precision == "16-mixed":
            raise UsageError(f"trainer.precision=16-mixed does not go with {key}: use bf16-mixed or 32-true")

    # an order needs enough paths, and validations to compare
    if cfg.stop == "stable":
        if cfg.validation.paths < FEWEST_ORDERED:
            paths = f"validation.paths={cfg.validation.paths}"
            raise UsageError(f"stop=stable watches an order of {paths} paths: give {FEWEST_ORDERED} or more")
        if cfg.journal.validations <= cfg.stable.looks:
            raise UsageError(
                f"stop=stable looks at stable.looks={cfg.stable.looks} pairs of validations in a row, and "
                f"journal.validations={cfg.journal.validations}: give more of them"
            )

    # what several devices divide among them
    devices = cfg.trainer.devices * cfg.trainer.get("num_nodes", 1)
    if devices == 1:
        return
    if cfg.strategy == "path_parallel":
        if cfg.sync_batchnorm:
            raise UsageError("sync_batchnorm=true is for strategy=ddp: with path_parallel every device has all images")
        return
    if cfg.batch_size % devices:
        raise UsageError(f"batch_size={cfg.batch_size} cannot be divided among {devices} devices: use a multiple")
    if cfg.step.clip_norm is not None and cfg.step.clip == "before":
        raise UsageError("step.clip=before needs each path's gradient of all images: use strategy=path_parallel")


def check_masked(cfg: DictConfig, takes_masks: bool) -> None:
    """Refuse what needs operations, for a space of widths and depths; `takes_masks`: whether the sampler suits it."""
    space, choices = cfg.choices.search_space, cfg.choices
    if not takes_masks:
        raise UsageError(
            f"sampler={choices.sampler} plans over single operations, and the choices of {space} are slices of shared "
            "kernels: use sampler=spos, fixed or network_space_search"
        )
    needs = {
        f"inter_choice={choices.inter_choice}": choices.inter_choice != "none",
        "gradient_variance=true": cfg.gradient_variance,
        "step.gradient_noise": cfg.step.gradient_noise > 0,
        "step=compiled": cfg.step.way == "compiled",
    }
    for key in (key for key, is_on in needs.items() if is_on):
        raise UsageError(f"{key} is about single operations, and the choices of {space} are slices of shared kernels")
    if cfg.strategy == "path_parallel" and cfg.trainer.devices * cfg.trainer.get("num_nodes", 1) > 1:
        raise UsageError(f"strategy=path_parallel shares out whole batch norms, of which {space} runs slices: use ddp")


def refuse_unused(trainer: DictConfig, use_instead: Mapping[str, tuple[object, str]]) -> None:
    """Refuse arguments of Lightning's Trainer that would have no effect, naming the key that has."""
    for key, (neutral, instead) in use_instead.items():
        if trainer.get(key, neutral) != neutral:
            raise UsageError(f"trainer.{key}={trainer[key]} is not used here: {instead}")
