"""COMMAND  train chosen paths alone: python -m src.retrain arch=<fairnas_a | path | file> recipe=<name>"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.launch import command_line, launch
from src.runtime.resume import settle
from src.standalone.retraining.config_checks import check_retraining, check_warmup


def main(cfg: DictConfig, folder: Path) -> None:
    """Train one network, or several of a supernet to rank them; a killed one is resumed."""
    overrides, is_sweep = command_line()
    # a resumed run has the stored values, which are checked below
    if cfg.resume is None:
        check_retraining(cfg)
        check_warmup(cfg)
    if cfg.run is not None:
        from src.standalone.retraining.from_supernet import configured_from_supernet

        cfg = configured_from_supernet(cfg, overrides)
    cfg = settle(cfg, folder, overrides, "retrain", is_sweep)
    check_retraining(cfg)

    from src.standalone.retraining import build  # late: torch and Lightning take seconds to import
    from src.standalone.retraining.result import train_one

    if cfg.study is not None:
        build.study(cfg, folder)
    else:
        train_one(build.assemble(cfg, folder))


if __name__ == "__main__":
    sys.exit(launch("retrain", main))
