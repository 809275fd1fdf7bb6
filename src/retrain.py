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
        from src.standalone.retraining.from_supernet import adopt  # late, as below

        cfg = adopt(cfg, overrides)
    cfg = settle(cfg, folder, overrides, is_sweep)
    check_retraining(cfg)
    if cfg.study is not None:
        from src.standalone.retraining.ranking_study import carry_out

        carry_out(cfg, folder)
        return

    from src.standalone.retraining.run import train_one  # late: torch and Lightning take seconds to import

    train_one(cfg, folder)


if __name__ == "__main__":
    sys.exit(launch("retrain", main))
