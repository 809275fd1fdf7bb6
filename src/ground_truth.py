"""COMMAND  train every path of a space alone: python -m src.ground_truth search_space=mini seeds=8"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.command import launch
from src.settings import number


def main(cfg: DictConfig, folder: Path) -> None:
    """Train what is missing, then write the table; killed, it goes on where it was."""
    for key in ("seeds", "workers", "recipe_alone.epochs", "recipe_alone.batch_size"):
        number(cfg, key, 1, whole=True)
    number(cfg, "recipe_alone.peak_lr", 0)

    from src.truth import conclude, train_missing  # late: torch takes seconds to import

    train_missing(cfg, folder)
    conclude(cfg, folder)


if __name__ == "__main__":
    sys.exit(launch("ground_truth", main))
