"""A retraining beside its supernet: what `run=` says of space, data and recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.run_folder import RESULT
from src.training.trained_supernet import read_config

OWN = ("search_space", "dataset", "image_size")
"""What the supernet decides: networks and images that its weights and scores are about."""
READING = ("root", "download", "cache", "workers", "memory_limit_mb")
AUGMENTING = ("shift", "flip", "crop_scale", "crop_ratio", "interpolation", "color_jitter", "auto_augment")
FREE = tuple(f"dataset.{key}" for key in (*READING, *AUGMENTING))
"""How images are read and augmented: another network on them may see to that in its own way."""
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


def adopt(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration with the supernet's space and data, and under as_supernet its recipe, but for `overrides`.

    Raises:
        UsageError: no training run, or an override that asks for another space, data set or image size.
    """
    run = read_config(Path(cfg.run))
    given = _given(overrides)
    _refuse_others(cfg, run, given)
    adopted = cfg.copy()
    for key in OWN:
        adopted[key] = run.get(key)
    for key in FREE:
        if key in given and key.split(".")[1] in run.dataset:
            OmegaConf.update(adopted, key, OmegaConf.select(cfg, key))
    for key in ("search_space", "dataset"):
        adopted.choices[key] = run.choices[key]
    if cfg.choices.recipe == "as_supernet":
        for key, value in _recipe(run, Path(cfg.run)).items():
            if f"recipe.{key}" not in given:
                adopted.recipe[key] = value
    return adopted


def _given(overrides: Sequence[str]) -> set[str]:
    return {override.lstrip("+~").split("=", 1)[0].split("@")[0] for override in overrides}


def _refuse_others(cfg: DictConfig, run: DictConfig, given: set[str]) -> None:
    for key in sorted(given):
        if key.split(".")[0] not in OWN or key in FREE:
            continue
        is_group = key in ("search_space", "dataset")
        asked = cfg.choices[key] if is_group else OmegaConf.select(cfg, key)
        own = run.choices[key] if is_group else OmegaConf.select(run, key)
        if asked != own:
            raise UsageError(f"{key}={asked} is not what run={cfg.run} was trained with ({key}={own}): leave it out")


def _recipe(run: DictConfig, folder: Path) -> dict[str, Any]:
    """The supernet's own values, and as many epochs as it was trained for (if it is not finished: as it was to be)."""
    found = {key: OmegaConf.select(run, where) for key, where in SAME.items()}
    found["optimizer"] = "sgd" if run.optimizer.get("nesterov") else "momentum"  # as timm calls them
    result = folder / RESULT
    if result.is_file():
        return found | {"epochs": json.loads(result.read_text())["epochs"]}
    return found | {"epochs": run.budget.epochs or run.recipe.epochs}
