"""An evaluation of Elite Spaces as tables and a figure: errors of spaces, and of the networks picked in them.

Errors are shares of test images, differences Elite Space minus the other arm: below 0 the Elite Space is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
from rich.console import Console
from scipy import stats

from src.analysis.report.error_figures import errors_figure
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.png import save
from src.runtime.result import Result, figures_table, write_result
from src.runtime.run_folder import PROVENANCE, read_json, replace_file
from src.standalone.every_path.build import build_subject
from src.standalone.every_path.loop import RUNS
from src.standalone.space_study.spaces import ARMS, ELITE

SPACES, PICKED = "spaces.csv", "picked.csv"


@dataclass(frozen=True, kw_only=True)
class SpaceStudyResult(Result):
    """Networks of Elite Spaces and of others near the same costs, trained alone (experiment=nss_evaluation)."""

    command: ClassVar[str] = "ground_truth"
    experiment: str = "nss_evaluation"
    dataset: str
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


def write_results(spec: str, seeds: int, networks: pd.DataFrame, picked: pd.DataFrame, folder: Path) -> None:
    """Write spaces.csv, picked.csv, the figure and result.json, and print the tables."""
    _, dataset, recipe = build_subject(spec)
    runs = pd.read_csv(folder / RUNS)
    # A space's networks are trained once; those that were picked are means over seeds
    errors = 1 - runs.set_index(["arch", "seed"])["test"]
    networks = networks.assign(error=[errors[arch, 0] for arch in networks["arch"]])
    picked = picked.assign(error=[errors[arch].loc[range(seeds)].mean() for arch in picked["arch"]])
    spaces = space_rows(networks)
    replace_file(folder / SPACES, spaces.round(6).to_csv(index=False, lineterminator="\n"))
    replace_file(folder / PICKED, picked.round(6).to_csv(index=False, lineterminator="\n"))
    by_target = {target: networks[networks["target"] == target] for target in networks["target"].unique().tolist()}
    figure = save(errors_figure(by_target, ARMS), folder / "figures" / "errors.png")

    comparisons = {
        f"{target:.6g}": {
            "spaces": arm_rows(spaces[spaces["target"] == target]),
            "networks": picked_rows(picked[picked["target"] == target]),
        }
        for target in by_target
    }
    result = SpaceStudyResult(
        commit=(read_json(folder / PROVENANCE) or {}).get("commit", "unknown"),
        device="cpu",
        backward_passes=len(runs) * recipe.epochs * (dataset.size("train") // recipe.batch_size),
        dataset=dataset.name,
        seeds=seeds,
        targets=comparisons,
        figures=[figure.as_posix()],
    )
    write_result(folder, result)
    show(result, folder)


def space_rows(networks: pd.DataFrame) -> pd.DataFrame:
    """A row for each space of an arm: its networks' errors and costs."""
    groups = networks.groupby(["target", "arm", "space", "search"], dropna=False, sort=False)
    rows = groups.agg(
        networks=("error", "size"),
        hits=("hits", "first"),
        macs=("macs", "mean"),
        params=("params", "mean"),
        error=("error", "mean"),
        sd=("error", "std"),
        least=("error", "min"),
    )
    return rows.reset_index()


def arm_rows(spaces: pd.DataFrame) -> dict[str, dict[str, float | int | None]]:
    """Each arm at one target: mean error, and how far the Elite Spaces lie below it, with a 95 % interval.

    Several spaces of an arm are its sample; where it has one space, its networks are.
    """
    rows, elite = {}, mean_of(spaces[spaces["arm"] == ELITE])
    for arm in ARMS:
        own = spaces[spaces["arm"] == arm]
        if own.empty:
            continue
        mean = mean_of(own)
        difference = None if arm == ELITE else welch(elite, mean)
        rows[arm] = {
            "spaces": len(own),
            "networks": int(own["networks"].sum()),
            "hits": float(own["hits"].mean()),
            "macs": float(own["macs"].mean()),
            "error": mean.value,
            "standard_error": known(mean.error),
            "least_error": float(own["least"].min()),
            **({} if difference is None else difference),
            "worse_than_elite": int((own["error"] > elite.value).sum()),
        }
    return rows


def mean_of(spaces: pd.DataFrame) -> Mean:
    """The mean error of an arm, over its spaces, or over the networks of its only one."""
    if len(spaces) > 1:
        errors = spaces["error"]
        return Mean(float(errors.mean()), float(errors.std()) / math.sqrt(len(errors)), len(errors) - 1)
    count = int(spaces["networks"].iloc[0])
    return Mean(float(spaces["error"].iloc[0]), float(spaces["sd"].iloc[0]) / math.sqrt(count), count - 1)


def welch(first: Mean, second: Mean) -> dict[str, float | None]:
    """first - second with Welch's 95 % interval; None where an arm has one value."""
    squares = [mean.error**2 for mean in (first, second)]
    spread, difference = math.sqrt(sum(squares)), first.value - second.value
    if not spread > 0:
        return {"difference": difference, "low": None, "high": None}
    parts = [square**2 / mean.freedom for square, mean in zip(squares, (first, second), strict=True)]
    half = float(stats.t.ppf(0.975, sum(squares) ** 2 / sum(parts))) * spread
    return {"difference": difference, "low": difference - half, "high": difference + half}


def picked_rows(picked: pd.DataFrame) -> dict[str, dict[str, float | int | None]]:
    """Each arm at one target: mean error of the networks picked, and the difference, paired by search."""
    rows, by_search = {}, picked.pivot(index="search", columns="arm", values="error")
    for arm in (arm for arm in ARMS if arm in by_search):
        error, difference = over_seeds(by_search[arm]), over_seeds(by_search[ELITE] - by_search[arm])
        macs = picked[picked["arm"] == arm]["macs"].mean()
        rows[arm] = {"searches": len(by_search), "macs": float(macs), "error": error.mean, "sd": known(error.sd)}
        if arm != ELITE:
            ends = {"low": known(difference.low), "high": known(difference.high)}
            rows[arm] |= {"difference": difference.mean, **ends}
    return rows


def known(value: float) -> float | None:
    """The value, None for nan."""
    return None if math.isnan(value) else float(value)


def show(result: SpaceStudyResult, folder: Path) -> None:
    """Print both comparisons of each target."""
    columns = ("arm", "n", "M multiply-adds", "error, %", "Elite - arm", "95 % interval")
    for target, parts in result.targets.items():
        for title, part, number in (
            ("networks of each space, trained once", "spaces", "spaces"),
            (f"networks picked by supernets, {result.seeds} trainings", "networks", "searches"),
        ):
            rows = [(arm, *_cells(values, number)) for arm, values in parts[part].items()]
            Console().print(figures_table(f"{target}: {title}", rows, columns))
    print(f"tables: {folder / SPACES}, {folder / PICKED}; figure: {result.figures[0]}")


def _cells(values: Mapping[str, float | int | None], number: str) -> tuple[str, ...]:
    """The cells of an arm's row."""
    cells = [f"{values[number]}", f"{(values['macs'] or 0) / 1e6:.4g}", f"{100 * (values['error'] or 0):.2f}"]
    if values.get("difference") is None:
        return (*cells, "", "")
    low, high = values["low"], values["high"]
    interval = "" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
    return (*cells, f"{100 * (values['difference'] or 0):+.2f}", interval)
