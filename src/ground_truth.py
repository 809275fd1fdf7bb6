"""COMMAND  train the networks of a space alone: python -m src.ground_truth search_space=mini seeds=8"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.launch import command_line, launch
from src.runtime.resume import settle
from src.runtime.validate import check_keys


def main(cfg: DictConfig, folder: Path) -> None:
    """Train what is missing, then write the table; killed, it is resumed."""
    check_keys(cfg, "ground_truth")
    cfg = settle(cfg, folder, command_line().overrides, "ground_truth", is_sweep=True, free=("seeds", "workers"))

    # late: torch takes seconds to import
    if cfg.study is not None:
        from src.standalone.space_study import build as study_build
        from src.standalone.space_study.study import run_space_study

        run_space_study(study_build.build(cfg, folder), folder)
        return
    from src.standalone.every_path.build import build
    from src.standalone.every_path.loop import train_all
    from src.standalone.every_path.result import write_results

    settings = build(cfg, folder)
    train_all(settings, folder)
    write_results(settings, folder)


if __name__ == "__main__":
    sys.exit(launch("ground_truth", main))
