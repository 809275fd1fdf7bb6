"""A W&B workspace of training runs or searches: the report's figures as live panels, over backward passes.

Built by wandb-workspaces, whose API is a public preview; how the server shows it was not tried.
"""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from src.runtime.errors import UsageError
from src.runtime.loggers import AXES
from src.runtime.run_folder import GENERATIONS, IMPORTANCE, METRICS, RANK_BY, RESULT, read_json, replace_file

PACKAGE = "wandb_workspaces"


class Lines(NamedTuple):
    """Curves of several runs."""

    title: str
    metrics: str
    """A pattern of their names."""
    log_y: bool = False


class Bars(NamedTuple):
    """Last values of several runs, each metric a group of bars."""

    title: str
    metrics: str


class Pictures(NamedTuple):
    """PNG files that runs showed."""

    title: str
    names: tuple[str, ...]


Panel = Lines | Bars | Pictures

TRAINING: Mapping[str, Sequence[Panel]] = {
    "The supernet (FairNAS Figure 1)": (
        Lines("One-shot accuracy of the validation's paths: mean, lowest, highest", "supernet/accuracy_(mean|min|max)"),
        Lines("Its spread over paths", "supernet/accuracy_std"),
        Lines("Training loss", "train/loss"),
        Lines("Training accuracy of the paths drawn", "train/accuracy"),
    ),
    "Ranking against counting and ceiling": (
        Bars(
            "Kendall's tau, the best count's, the ceiling", "rank/(tau_(running|batch|adapt|recalibrate)|count|ceiling)"
        ),
        Bars("tau minus that of the best count", "rank/above_count"),
        Bars("tau by each score", f"rank/tau_({'|'.join(RANK_BY)})_.*"),
        Pictures(
            "One-shot accuracies", ("rank/histogram_recalibrate", "rank/histogram_running", "rank/histogram_batch")
        ),
    ),
    "Fairness": (
        Lines("Largest difference of update counts in a layer", "fairness/count_spread"),
        Bars("The same at the end", "fairness/final_count_spread"),
    ),
    "Importance and gradient variance": (
        Lines("Probabilities that operations are drawn with", "importance/probability/.*"),
        Lines("Smoothing", "importance/smoothing.*"),
        Lines("Variance of the gradient", "gradient_variance/(raw|clipped|unbiased).*", log_y=True),
        Lines("Variance by the squared mean", "gradient_variance/relative.*", log_y=True),
    ),
    "Network spaces": (
        Lines("Entropy of the decisions", "architecture/entropy"),
        Lines("Loss on search batches", "architecture/loss"),
        Lines("Mean cost of the networks drawn", "importance/expected_(macs|params)"),
        Lines("Probabilities of ranges", "importance/probability/.*"),
    ),
}
SEARCHING: Mapping[str, Sequence[Panel]] = {
    "Search": (
        Lines("Hypervolume of the front", "search/hypervolume"),
        Lines("Share of the true front's hypervolume", "search/true_hypervolume"),
        Lines("The best score", "search/best"),
        Lines("Networks on the front", "search/front"),
        Pictures("Front and hypervolume", ("search/front", "search/hypervolume")),
    ),
}
RANKING = ("count", "ceiling", "above_count", "tau_recalibrate", "tau_accuracy_recalibrate")
"""Of the section rank, which every run with a benchmark logs once it is ranked."""


def check_workspace(place: str) -> None:
    """See that a workspace can be made at `<entity>/<project>`, before anything is read.

    Raises:
        UsageError: another form, the package is missing, or nobody is logged in.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", place):
        raise UsageError(f"wandb={place} is not <entity>/<project>, as my-team/fairpath")
    if not importlib.util.find_spec(PACKAGE):
        raise UsageError("wandb=<entity>/<project> needs `pip install wandb-workspaces`; without it leave wandb=null")
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")  # one line says what is missing
    if not wandb.login(prompt=False, verify=False):
        raise UsageError(f"wandb={place} needs an account's key: wandb login, or WANDB_API_KEY; or leave wandb=null")


def make_workspace(entity: str, project: str, name: str, logged: Collection[str]) -> Any:
    """A wandb_workspaces Workspace with the sections of which runs logged a metric, runs grouped by method.

    Args:
        entity: user or team.
        project: of the runs.
        name: of the workspace.
        logged: names of the metrics that the runs logged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of pydantic's own plans
        import wandb_workspaces.reports.v2 as parts
        import wandb_workspaces.workspaces as workspaces

    # a folder of searches has another axis and another word for its methods
    is_search = any(metric.startswith("search/") for metric in logged)
    axis, sections = (AXES["search"][0], SEARCHING) if is_search else (AXES["train"][0], TRAINING)
    method = "choices.searcher" if is_search else "choices.sampler"
    # panels whose metrics nobody logged are left out, and sections without any
    made = []
    for title, panels in sections.items():
        shown = [panel for panel in panels if isinstance(panel, Pictures) or matching(panel.metrics, logged)]
        # pictures alone are of runs that have not ended
        if all(isinstance(panel, Pictures) for panel in shown):
            continue
        drawn = [_panel(parts, panel, axis, logged) for panel in shown]
        made.append(workspaces.Section(name=title, panels=drawn, is_open=True))
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=made,
        settings=workspaces.WorkspaceSettings(x_axis=axis),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Config(method), workspaces.Metric("Group")]),
    )


def _panel(parts: Any, panel: Panel, axis: str, logged: Collection[str]) -> Any:
    match panel:
        case Lines():
            log_y = panel.log_y or None
            return parts.LinePlot(title=panel.title, x=axis, metric_regex=panel.metrics, log_y=log_y)
        case Bars():
            return parts.BarPlot(title=panel.title, metrics=matching(panel.metrics, logged))
        case Pictures():
            return parts.MediaBrowser(title=panel.title, media_keys=list(panel.names))


def matching(pattern: str, logged: Collection[str]) -> list[str]:
    """The metrics of a panel that runs logged."""
    return sorted(name for name in logged if re.fullmatch(pattern, name))


def logged_metrics(folders: Sequence[Path]) -> set[str]:
    """Names of the metrics that runs with these folders handed to their loggers, from their tables."""
    logged: set[str] = set()
    for folder in folders:
        # as columns, as figures of epochs, as generations of a search
        if (folder / METRICS).exists():
            logged |= {name for name in pd.read_csv(folder / METRICS, nrows=0).columns if "/" in name}
        if (folder / IMPORTANCE).exists():
            table = pd.read_csv(folder / IMPORTANCE, usecols=["figure"])
            logged |= {f"importance/{figure}" for figure in table["figure"].unique()}
            logged |= {"importance/probability/0"} if "probability" in set(table["figure"]) else set()
        if (folder / GENERATIONS).exists():
            columns = pd.read_csv(folder / GENERATIONS, nrows=0).columns
            logged |= {f"search/{name}" for name in columns if name != "generation"}
        # once it is ranked
        result = read_json(folder / RESULT) or {}
        if result.get("ranking"):
            logged |= {f"rank/{name}" for name in RANKING} | {"fairness/final_count_spread"}
    return logged


def save_workspace(workspace: Any, file: Path) -> str:
    """Store the workspace at W&B and, as JSON, in a file; returns its address."""
    replace_file(file, as_json(workspace))
    workspace.save()
    return str(workspace.url)


def as_json(workspace: Any) -> str:
    """The workspace as W&B's server takes it."""
    return str(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=1))
