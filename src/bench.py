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

    from src.benches.build import build, resolved  # late: torch takes seconds to import
    from src.benches.result import write_results
    from src.benches.timing import machine

    # each of these modules has `run(settings, device) -> Measured`, with the class of settings that `build` gives it
    bench = import_module(f"src.benches.{cfg.bench}")
    with machine(cfg.device, cfg.threads) as device:
        measured = bench.run(build(cfg, device), device)
        write_results(folder, cfg.bench, resolved(cfg), device, measured)


if __name__ == "__main__":
    sys.exit(launch("bench", main))
