"""COMMAND  train every path of a space alone: python -m src.ground_truth search_space=mini seeds=8"""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.runtime.launch import launch
from src.runtime.resume import settle
from src.runtime.validate import number, only


def main(cfg: DictConfig, folder: Path) -> None:
    """Train what is missing, then write the table; killed, it goes on where it was."""
    _check(cfg)
    cfg = settle(cfg, folder, list(HydraConfig.get().overrides.task), is_sweep=True, free=("seeds", "workers"))

    from src.standalone.every_path import conclude, prepare, train_missing  # late: torch takes seconds to import

    prepare(cfg, folder)
    train_missing(cfg, folder)
    conclude(cfg, folder)


def _check(cfg: DictConfig) -> None:
    """Refuse values out of their range."""
    only(cfg, "recipe_alone", ("epochs", "batch_size", "peak_lr", "momentum", "weight_decay"))
    for key in ("workers", "recipe_alone.epochs", "recipe_alone.batch_size"):
        number(cfg, key, 1, whole=True)
    number(cfg, "seeds", 2, whole=True)
    number(cfg, "image_size", 1, whole=True, optional=True)
    for key in ("recipe_alone.peak_lr", "recipe_alone.weight_decay"):
        number(cfg, key, 0)
    number(cfg, "recipe_alone.momentum", 1e-9, 1)


if __name__ == "__main__":
    sys.exit(launch("ground_truth", main))
