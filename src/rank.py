"""COMMAND  score a supernet's paths, compare with a benchmark: python -m src.rank run=<run dir> benchmark=<name>"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.ranking.config_checks import OF_A_RUN, check_ranking, refuse_unused
from src.runtime.launch import command_line, launch


def main(cfg: DictConfig, folder: Path) -> None:
    """Score the paths that have no score yet, or read predictions made elsewhere; then rank and compare them."""
    check_ranking(cfg)
    if cfg.scores is not None:
        refuse_unused(command_line().overrides, OF_A_RUN, f"scores={cfg.scores}")

    from src.ranking.build import build_file_ranking, build_supernet_ranking  # late: torch takes seconds to import
    from src.ranking.ensemble import Ensemble, members, rank_ensemble
    from src.ranking.rank_run import rank_file, rank_run
    from src.ranking.score_table import ScoringProcesses

    if cfg.scores is not None:
        rank_file(build_file_ranking(cfg, folder))
        return
    processes = ScoringProcesses()
    runs, overrides = members(cfg.run), command_line().overrides
    # a list of one is an ensemble of one
    if len(runs) > 1 or not isinstance(cfg.run, str):
        rank_ensemble(Ensemble(cfg, tuple(runs), overrides, Path(cfg.out or folder)), processes)
    else:
        cfg.run = runs[0]
        rank_run(build_supernet_ranking(cfg, overrides, processes), processes)
    processes.end()


if __name__ == "__main__":
    sys.exit(launch("rank", main))
