"""An evaluation of Elite Spaces as tables and a figure: errors of spaces, and of the networks picked in them.

Errors are shares of test images, differences Elite Space minus the other arm: below 0 the Elite Space is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from rich.console import Console

from src.analysis.report.error_figures import errors_figure
from src.analysis.report.png import save
from src.runtime.result import Result, figures_table, write_result
from src.runtime.run_folder import PROVENANCE, read_json, replace_file
from src.standalone.every_path.build import build_subject
from src.standalone.every_path.loop import RUNS
from src.standalone.space_study.comparison import (
    SHOWN,
    arm_rows,
    at_equal_cost,
    over_targets,
    picked_over_targets,
    picked_rows,
    space_rows,
)
from src.standalone.space_study.spaces import ARMS

SPACES, PICKED = "spaces.csv", "picked.csv"


@dataclass(frozen=True, kw_only=True)
class SpaceStudyResult(Result):
    """Networks of Elite Spaces and of others near the same costs, trained alone (experiment=nss_evaluation)."""

    command: ClassVar[str] = "ground_truth"
    experiment: str = "nss_evaluation"
    dataset: str
    cost: str
    """Of the targets: macs or params."""
    seeds: int
    """Trainings of each network that was picked; the others are trained once."""
    targets: dict[str, dict[str, dict[str, Any]]]
    """By target: `spaces`, arm -> errors of networks drawn from it, and `networks`, arm -> of those picked."""
    over_targets: dict[str, dict[str, dict[str, Any]]]
    """`spaces` and `networks`, arm -> difference over all targets, in standard deviations of single networks."""
    figures: list[str]


def write_results(spec: str, of: str, seeds: int, networks: pd.DataFrame, picked: pd.DataFrame, folder: Path) -> None:
    """Write spaces.csv, picked.csv, the figure and result.json, and print the tables; `of` is the cost of targets."""
    _, dataset, recipe = build_subject(spec)
    runs = pd.read_csv(folder / RUNS)
    # A space's networks are trained once; those that were picked are means over seeds
    errors = 1 - runs.set_index(["arch", "seed"])["test"]
    networks = at_equal_cost(networks.assign(error=[errors[arch, 0] for arch in networks["arch"]]), of)
    picked = picked.assign(error=[errors[arch].loc[range(seeds)].mean() for arch in picked["arch"]])
    spaces = space_rows(networks)
    replace_file(folder / SPACES, spaces.round(6).to_csv(index=False, lineterminator="\n"))
    replace_file(folder / PICKED, picked.round(6).to_csv(index=False, lineterminator="\n"))
    by_target = {target: networks[networks["target"] == target] for target in networks["target"].unique().tolist()}
    figure = save(errors_figure(by_target, ARMS), folder / "figures" / "errors.png")

    comparisons = {
        f"{target:.10g}": {
            "spaces": arm_rows(spaces[spaces["target"] == target], of),
            "networks": picked_rows(picked[picked["target"] == target], of),
        }
        for target in by_target
    }
    result = SpaceStudyResult(
        commit=(read_json(folder / PROVENANCE) or {}).get("commit", "unknown"),
        device="cpu",
        backward_passes=len(runs) * recipe.epochs * (dataset.size("train") // recipe.batch_size),
        dataset=dataset.name,
        cost=of,
        seeds=seeds,
        targets=comparisons,
        over_targets={"spaces": over_targets(spaces), "networks": picked_over_targets(picked, spaces)},
        figures=[figure.as_posix()],
    )
    write_result(folder, result)
    show(result, folder)


def show(result: SpaceStudyResult, folder: Path) -> None:
    """Print both comparisons of each target."""
    common = (f"M {result.cost}", "error, %", "Elite minus it [95 %]")
    for target, parts in result.targets.items():
        rows = []
        for arm, values in parts["spaces"].items():
            drawn = f"{values['spaces']} x {values['networks'] / values['spaces']:.3g}"
            rows.append((arm, drawn, *_cells(values, result.cost)))
        columns = ("arm", "networks", *common, "at equal cost")
        Console().print(figures_table(f"{target}: networks drawn, trained once", rows, columns))
        rows = [(arm, str(v["searches"]), *_cells(v, result.cost)[:-1]) for arm, v in parts["networks"].items()]
        title = f"{target}: networks picked by supernets, {result.seeds} trainings"
        Console().print(figures_table(title, rows, ("arm", "searches", *common)))
    # over all targets, in standard deviations of single networks
    joined = [
        ("drawn, at equal cost", arm, _interval(v), v["verdict"]) for arm, v in result.over_targets["spaces"].items()
    ]
    joined += [("picked", arm, _interval(v), "") for arm, v in result.over_targets["networks"].items()]
    heading = ("networks", "arm", "Elite minus it, sd [95 %]", f"against {SHOWN} sd")
    Console().print(figures_table("all targets", joined, heading))
    print(f"tables: {folder / SPACES}, {folder / PICKED}; figure: {result.figures[0]}")


def _cells(values: Mapping[str, Any], of: str) -> tuple[str, ...]:
    """Cost, error and both differences of an arm's row."""
    differences = (_difference(values.get(name)) for name in ("difference", "at_equal_cost"))
    return (f"{values[of] / 1e6:.3g}", f"{100 * values['error']:.2f}", *differences)


def _difference(estimate: Mapping[str, float | None] | None) -> str:
    """`-0.31 [-1.0, 0.4]` in percentage points."""
    if estimate is None or estimate["value"] is None:
        return ""
    return _interval(estimate, 100)


def _interval(estimate: Mapping[str, Any], factor: float = 1) -> str:
    value, low, high = (None if estimate[key] is None else factor * estimate[key] for key in ("value", "low", "high"))
    return (
        "" if value is None else f"{value:+.2f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
    )
