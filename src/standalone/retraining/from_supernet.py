"""Configures a retraining from its supernet: `run=` decides search space, data and, under as_supernet, the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.resume import READING, names_of
from src.runtime.run_folder import RESULT, read_json
from src.runtime.stored_run import read_config

OWN = ("search_space", "dataset", "image_size")
"""Decided by the supernet: the networks and images that its weights and scores are about."""
AUGMENTING = ("shift", "flip", "crop_scale", "crop_ratio", "interpolation", "color_jitter", "auto_augment")
FREE = tuple(f"dataset.{key}" for key in (*READING, *AUGMENTING))
"""How images are read and augmented: a retraining on them may choose that anew."""
SAME = {
    "lr": "optimizer.lr",
    "momentum": "optimizer.momentum",
    "weight_decay": "optimizer.weight_decay",
    "norm_decay": "norm_decay",
    "batch_size": "batch_size",
    "final_lr": "schedule.final_lr",
    "warmup_epochs": "schedule.warmup_epochs",
    "label_smoothing": "step.label_smoothing",
    "clip_norm": "step.clip_norm",
}
"""Of recipe=as_supernet: key of the recipe, key of the supernet's configuration."""


def configured_from_supernet(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration with the supernet's space and data, and under as_supernet its recipe, but for `overrides`.

    Raises:
        UsageError: no training run, or an override that asks for another space, data set or image size.
    """
    run, named = read_config(Path(cfg.run), "train"), set(names_of(overrides))

    # What the supernet decides may be said again, but not differently.
    for key in sorted(named):
        if key.split(".")[0] not in OWN or key in FREE:
            continue
        is_group = key in ("search_space", "dataset")
        asked = cfg.choices[key] if is_group else OmegaConf.select(cfg, key)
        own = run.choices[key] if is_group else OmegaConf.select(run, key)
        if asked != own:
            raise UsageError(f"{key}={asked} is not what run={cfg.run} was trained with ({key}={own}): leave it out")

    config = cfg.copy()
    for key in OWN:
        config[key] = run.get(key)
    for key in FREE:
        if key in named and key.split(".")[1] in run.dataset:
            OmegaConf.update(config, key, OmegaConf.select(cfg, key))
    for key in ("search_space", "dataset"):
        config.choices[key] = run.choices[key]
    if cfg.choices.recipe != "as_supernet":
        return config

    # The supernet's own values, for as many epochs as it was trained (if it is not finished: as it was to be).
    recipe = {key: OmegaConf.select(run, where) for key, where in SAME.items()}
    if recipe["label_smoothing"] == run.get("supernet_label_smoothing"):  # there for the ranking alone
        recipe["label_smoothing"] = run.recipe.label_smoothing
    recipe["optimizer"] = "sgd" if run.optimizer.get("nesterov") else "momentum"  # timm's names
    result = read_json(Path(cfg.run) / RESULT)
    recipe["epochs"] = result["epochs"] if result else run.budget.epochs or run.recipe.epochs
    for key, value in recipe.items():
        if f"recipe.{key}" not in named:
            config.recipe[key] = value
    return config
