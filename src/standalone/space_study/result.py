"""An evaluation of Elite Spaces as tables and a figure: errors of spaces, and of the networks picked in them.

Errors are shares of test images, differences Elite Space minus the other arm: below 0 the Elite Space is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from scipy import stats

from src.analysis.ranking import or_none
from src.analysis.report.error_figures import errors_figure
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.png import save
from src.runtime.result import Result, figures_table, write_result
from src.runtime.run_folder import PROVENANCE, read_json, replace_file
from src.standalone.every_path.build import build_subject
from src.standalone.every_path.loop import RUNS
from src.standalone.space_study.spaces import ARMS, ELITE, ELITE_UNCONDITIONED

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
    figures: list[str]


class Mean(NamedTuple):
    """A mean error, its standard error and the degrees of freedom of that."""

    value: float
    error: float
    freedom: int


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
        figures=[figure.as_posix()],
    )
    write_result(folder, result)
    show(result, folder)


def at_equal_cost(networks: pd.DataFrame, of: str) -> pd.DataFrame:
    """The table with a column `adjusted`: errors as they would be at the target, for arms lie to one side of it.

    The slope of the error over the logarithm of the cost is common to all spaces of a target and taken within them.
    Networks of no condition on their cost have none.
    """
    # distances from the target, and errors, each from the mean of its space
    x = pd.Series(np.log(networks[of] / networks["target"]), networks.index)
    near = networks["arm"] != ELITE_UNCONDITIONED
    groups = [networks["target"], networks["arm"], networks["space"], networks["search"].fillna("")]
    inner, drop = x - x.groupby(groups).transform("mean"), networks["error"].groupby(groups).transform("mean")
    products = (inner * (networks["error"] - drop))[near].groupby(networks["target"]).sum()
    squares = inner.pow(2)[near].groupby(networks["target"]).sum()
    slopes = (products / squares.where(squares > 0)).fillna(0.0)
    # no slope where all networks of a target cost the same
    adjusted = networks["error"] - networks["target"].map(slopes) * x
    return networks.assign(adjusted=adjusted.where(near))


def space_rows(networks: pd.DataFrame) -> pd.DataFrame:
    """A row for each space of an arm: its networks' errors and costs."""
    groups = networks.groupby(["target", "arm", "space", "search"], dropna=False, sort=False)
    rows = groups.agg(
        networks=("error", "size"),
        hits=("hits", "first"),
        macs=("macs", "mean"),
        params=("params", "mean"),
        error=("error", "mean"),
        error_sd=("error", "std"),
        adjusted=("adjusted", "mean"),
        adjusted_sd=("adjusted", "std"),
    )
    return rows.reset_index()


def arm_rows(spaces: pd.DataFrame, of: str) -> dict[str, dict[str, Any]]:
    """Each arm at one target: mean error, and how far the Elite Spaces lie below it, with a 95 % interval.

    Several spaces of an arm are its sample; where it has one space, its networks are. An Elite Space without a network
    near the target is not among them.
    """
    rows: dict[str, dict[str, Any]] = {}
    for arm in (arm for arm in ARMS if arm in set(spaces["arm"])):
        own = spaces[spaces["arm"] == arm]
        mean = mean_of(own, "error")
        rows[arm] = {
            "spaces": len(own),
            "networks": int(own["networks"].sum()),
            "hits": float(own["hits"].mean()),
            of: float(own[of].mean()),
            "error": mean.value,
            "standard_error": or_none(mean.error),
        }
        if arm == ELITE or ELITE not in rows:
            continue
        # as drawn, and at equal cost
        elite = spaces[spaces["arm"] == ELITE]
        rows[arm]["difference"] = welch(mean_of(elite, "error"), mean)
        if arm != ELITE_UNCONDITIONED:
            rows[arm]["at_equal_cost"] = welch(mean_of(elite, "adjusted"), mean_of(own, "adjusted"))
        rows[arm]["worse_than_elite"] = int((own["error"] > elite["error"].mean()).sum())
    return rows


def mean_of(spaces: pd.DataFrame, column: str) -> Mean:
    """The mean of a column of an arm, over its spaces, or over the networks of its only one."""
    values = spaces[column]
    if len(spaces) > 1:
        return Mean(float(values.mean()), float(values.std()) / math.sqrt(len(values)), len(values) - 1)
    count = int(spaces["networks"].iloc[0])
    return Mean(float(values.iloc[0]), float(spaces[f"{column}_sd"].iloc[0]) / math.sqrt(count), count - 1)


def welch(first: Mean, second: Mean) -> dict[str, float | None]:
    """first - second with Welch's 95 % interval; no interval where an arm has one value."""
    squares = [mean.error**2 for mean in (first, second)]
    spread, difference = math.sqrt(sum(squares)), first.value - second.value
    if not spread > 0:
        return {"value": difference, "low": None, "high": None}
    # degrees of freedom after Welch and Satterthwaite
    parts = [square**2 / mean.freedom for square, mean in zip(squares, (first, second), strict=True)]
    half = float(stats.t.ppf(0.975, sum(squares) ** 2 / sum(parts))) * spread
    return {"value": difference, "low": difference - half, "high": difference + half}


def picked_rows(picked: pd.DataFrame, of: str) -> dict[str, dict[str, Any]]:
    """Each arm at one target: mean error of the networks picked, and the difference, paired by search."""
    rows: dict[str, dict[str, Any]] = {}
    # a column for each arm, nan where a search has no network there
    by_search = picked.pivot(index="search", columns="arm", values="error")
    for arm in (arm for arm in ARMS if arm in by_search):
        error = over_seeds(by_search[arm])
        searches, cost = int(by_search[arm].count()), float(picked[picked["arm"] == arm][of].mean())
        rows[arm] = {"searches": searches, of: cost, "error": error.mean, "sd": or_none(error.sd)}
        if arm != ELITE and ELITE in by_search:
            difference = over_seeds(by_search[ELITE] - by_search[arm])
            each = {"value": difference.mean, "low": difference.low, "high": difference.high}
            rows[arm]["difference"] = {name: or_none(value) for name, value in each.items()}
    return rows


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
    print(f"tables: {folder / SPACES}, {folder / PICKED}; figure: {result.figures[0]}")


def _cells(values: Mapping[str, Any], of: str) -> tuple[str, ...]:
    """Cost, error and both differences of an arm's row."""
    differences = (_difference(values.get(name)) for name in ("difference", "at_equal_cost"))
    return (f"{values[of] / 1e6:.3g}", f"{100 * values['error']:.2f}", *differences)


def _difference(estimate: Mapping[str, float | None] | None) -> str:
    """`-0.31 [-1.0, 0.4]` in percentage points."""
    if estimate is None or estimate["value"] is None:
        return ""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    return f"{100 * value:+.2f}" + ("" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]")
