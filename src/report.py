"""COMMAND  tables, figures and one HTML page of runs or searches: python -m src.report runs=<folder>

Works while a sweep is still running: what is not finished appears in the curves, not in the tables.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.result import write_result
from src.runtime.validate import check_keys

if TYPE_CHECKING:
    from rich.table import Table

    from src.runtime.result_schemas import ReportResult


def run(cfg: DictConfig) -> ReportResult:
    """Write the report of the runs below `cfg.runs` into `cfg.out`; returns its figures as plain values."""
    check_keys(cfg, "report")
    if cfg.runs is None:
        raise UsageError("runs=<folder> is missing: name the folder that holds the training runs")

    from src.analysis.report import outputs, search_report, searches
    from src.analysis.report.groups import check_commits, group_runs
    from src.analysis.report.runs import find_runs

    root, out = Path(cfg.runs), Path(cfg.out or cfg.runs)
    try:
        # a folder of searches has another report than one of training runs
        if searches.holds_only_searches(root):
            finished = searches.find_searches(root)
            return search_report.write(finished, searches.check_commits(finished, cfg.mix_commits), out)
        runs = find_runs(root, cfg.half)
        # runs of several commits are compared only if that is asked for
        commits = check_commits(runs, cfg.mix_commits)
        return outputs.write(group_runs(runs), commits, cfg.bn, out)
    except OSError as error:
        raise UsageError(f"out={cfg.out or cfg.runs}: the report cannot be written there: {error.strerror}") from None


def tables(result: ReportResult) -> list[Table]:
    """A table per comparison for the terminal: tau by method and what counting reaches, or shares by searcher."""
    from src.analysis.report.terminal import comparison_table, search_table

    if isinstance(result.comparisons, dict):
        return [search_table(name, rows) for name, rows in result.comparisons.items()]
    return [comparison_table(comparison, str(result.bn)) for comparison in result.comparisons]


def main(cfg: DictConfig, folder: Path) -> None:
    """The command: writes the report, its result into the run folder, and prints the tables."""
    from rich.console import Console

    result = run(cfg)
    write_result(folder, result)
    Console().print(*tables(result), f"page: {result.page}", sep="\n", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(launch("report", main))
