"""COMMAND  search a trained supernet for a Pareto front: python -m src.search run=<run dir> searcher=moremnas"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.launch import command_line, launch
from src.runtime.resume import settle
from src.searching.config_checks import check_overrides, check_search, evaluator_of


def main(cfg: DictConfig, folder: Path) -> None:
    """Search up to the budget, then write the front; killed, it is resumed."""
    overrides, is_sweep = command_line()
    cfg = settle(cfg, folder, overrides, "search", is_sweep, free=("budget", "logger", "select"))
    check_search(cfg)
    check_overrides(overrides, evaluator_of(cfg))

    from src.searching.build import (  # late: torch and Lightning take seconds to import
        build_search,
        find_source,
        search_settings,
    )
    from src.searching.result import begin, is_finished, locked, run_search, show_finished, write_results

    source = find_source(cfg)
    settings = search_settings(cfg, source)
    with locked(folder):
        search = build_search(cfg, folder, source)
        if is_finished(settings, search):
            show_finished(search)
            return
        with begin(settings, search):
            run_search(search)
            write_results(settings, search)


if __name__ == "__main__":
    sys.exit(launch("search", main))
