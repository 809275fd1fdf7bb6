"""COMMAND  tables, figures and one HTML page of runs or searches: python -m src.report runs=<folder>

Works while a sweep is still running: what is not finished appears in the curves, not in the tables.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.result import write_result
from src.runtime.run_folder import CONFIG, RESULT, read_json
from src.runtime.validate import check_keys

WORKSPACE = "workspace.json"
"""What wandb= made, in the report's run folder."""

if TYPE_CHECKING:
    from rich.table import Table

    from src.runtime.result_schemas import ReportResult


def run(cfg: DictConfig) -> ReportResult:
    """Write the report of the runs below `cfg.runs` into `cfg.out`; returns its figures as plain values."""
    check_keys(cfg, "report")
    if cfg.runs is None:
        raise UsageError("runs=<folder> is missing: name the folder that holds the training runs")
    if cfg.wandb is not None:
        from src.analysis.report.workspace import check_workspace

        check_workspace(str(cfg.wandb))

    from src.analysis.report import outputs, search_report, searches
    from src.analysis.report.ensembles import ensemble_rows
    from src.analysis.report.groups import check_commits, group_runs
    from src.analysis.report.runs import find_runs

    root, out = Path(cfg.runs), Path(cfg.out or cfg.runs)
    try:
        # a folder of searches has another report than one of training runs
        if searches.holds_only_searches(root):
            for key in ("ensemble_size", "half", "by"):
                if cfg[key] is not None:
                    raise UsageError(f"{key}={cfg[key]} is of training runs: {root} holds searches")
            finished = searches.find_searches(root)
            return search_report.write(finished, searches.check_commits(finished, cfg.mix_commits), out)
        runs = find_runs(root, cfg.half, cfg.by)
        # runs of several commits are compared only if that is asked for
        commits = check_commits(runs, cfg.mix_commits)
        groups = group_runs(runs, cfg.ensemble_size)
        if cfg.ensemble_size is not None and not any(ensemble_rows(group, cfg.bn) for group in groups):
            lacking = f"no method has so many finished seeds with a truth and scores under bn={cfg.bn}"
            raise UsageError(f"ensemble_size={cfg.ensemble_size}: {lacking}")
        return outputs.write(groups, commits, cfg.bn, out)
    except OSError as error:
        raise UsageError(f"out={cfg.out or cfg.runs}: the report cannot be written there: {error.strerror}") from None


def tables(result: ReportResult) -> list[Table]:
    """A table per comparison for the terminal: tau by method and what counting reaches, or shares by searcher."""
    from src.analysis.report.terminal import comparison_table, ensemble_table, search_table, together_table

    if isinstance(result.comparisons, dict):
        return [search_table(name, rows) for name, rows in result.comparisons.items()]
    bn, records = str(result.bn), result.comparisons
    each = [(comparison_table(one, bn), together_table(one), ensemble_table(one)) for one in records]
    return [table for several in each for table in several if table is not None]


def show_at_wandb(cfg: DictConfig, loggers: list[Any], result: ReportResult) -> None:
    """Log the report as a run of its own: page, table and figures, made from what the runs scored or found."""
    from src.runtime.loggers import artifact_of, log_report, open_loggers

    # a run that has ended has made its artifact
    kinds, made_from = {"train": "scores", "search": "archive"}, []
    for path in sorted(Path(cfg.runs).rglob(RESULT)):
        kind = kinds.get((read_json(path) or {}).get("command", ""))
        made_from += artifact_of(kind, path.parent) if kind else []
    open_loggers(loggers, OmegaConf.to_container(cfg, resolve=True))
    log_report(loggers, Path(result.page), [Path(figure) for figure in result.figures], made_from)


def make_workspace(cfg: DictConfig, folder: Path) -> str:
    """Make a W&B workspace of the runs, panels over the axis of their command; returns its address."""
    from src.analysis.report import workspace

    entity, _, project = str(cfg.wandb).partition("/")
    runs = sorted(path.parent for path in Path(cfg.runs).rglob(CONFIG))
    made = workspace.make_workspace(entity, project, f"Fairpath: {cfg.runs}", workspace.logged_metrics(runs))
    return workspace.save_workspace(made, folder / WORKSPACE)


def main(cfg: DictConfig, folder: Path) -> None:
    """The command: writes the report, its result into the run folder, and prints the tables."""
    from rich.console import Console

    from src.runtime.loggers import finish_loggers, make_loggers

    loggers = make_loggers(cfg.logger, folder, ["report", Path(str(cfg.runs)).name], "report")
    try:
        result = run(cfg)
        write_result(folder, result)
        show_at_wandb(cfg, loggers, result)
    finally:
        finish_loggers(loggers)
    lines = [f"W&B: {folder / 'wandb'}"] if cfg.logger.wandb is not None else []
    lines += [f"workspace: {make_workspace(cfg, folder)}"] if cfg.wandb is not None else []
    Console().print(*tables(result), f"page: {result.page}", *lines, sep="\n", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(launch("report", main))
