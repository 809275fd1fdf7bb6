"""COMMAND  speed, side by side with the plain way: python -m src.bench bench=evaluate

The last line is `ratio <plain time / our time>`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from src.benches.config_checks import check_bench, with_space
from src.runtime.launch import launch


def main(cfg: DictConfig, folder: Path) -> None:
    """Measure, print one table, write result.json."""
    cfg = with_space(cfg)
    check_bench(cfg)

    from src.benches.result import conclude  # late: torch takes seconds to import
    from src.benches.timing import machine

    # each of these modules has `run(cfg, device) -> Measured`
    bench = import_module(f"src.benches.{cfg.bench}")
    with machine(cfg.device, cfg.threads) as device:
        measured = bench.run(cfg, device)
        conclude(cfg, folder, device, measured)


if __name__ == "__main__":
    sys.exit(launch("bench", main))
