"""COMMAND  train a supernet, then score its paths: python -m src.train sampler=strict_fair search_space=mini"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.launch import command_line, launch
from src.runtime.processes import is_one_of_several, run_on_devices
from src.runtime.resume import settle
from src.training.config_checks import check_training


def main(cfg: DictConfig, folder: Path) -> None:
    """Train, score, report; every stage is resumed where it was killed."""
    check_training(cfg)  # before a run folder is touched
    overrides, is_sweep = command_line()
    cfg = settle(cfg, folder, overrides, "train", is_sweep)
    check_training(cfg)
    # a process for each device runs this same command
    if cfg.trainer.devices > 1 and not is_one_of_several():
        run_on_devices("src.train", [*overrides, f"hydra.run.dir={folder}"], cfg.trainer.devices)
        return

    from src.ranking.after_training import rank_after_training
    from src.training.build import assemble  # late: torch and Lightning take seconds to import

    run = assemble(cfg, folder)
    if run.is_finished():
        run.show_finished()
        return
    try:
        run.begin()
        run.train()
        rank_after_training(run)
    finally:
        run.close()


if __name__ == "__main__":
    sys.exit(launch("train", main))
