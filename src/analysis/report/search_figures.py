"""Figures of a search: tables in, a Figure out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from src.analysis.report.figures import finish, legend
from src.analysis.report.searches import COLOURS, LABELS, Interval, SearchRun, budgets_of
from src.analysis.report.style import GREY, GRID, INK, LEMMA_COLOURS
from src.runtime.run_folder import LEARNT

NAMES = {
    "accuracy": "accuracy, %",
    "loss": "loss",
    "macs": "multiply-adds",
    "params": "parameters",
    "latency": "latency, ms",
}


def front_figure(
    archive: pd.DataFrame, front: pd.DataFrame, selected: pd.DataFrame, learnt: str, costs: Sequence[str]
) -> Figure:
    """FairNAS Figures 6 and 11: accuracy or loss against each cost, coloured by generation.

    The line in each panel is what can be had within a cost, if that one alone counts; dots with a rim are the front of
    all objectives.
    """
    figure = Figure(figsize=(1 + 4.5 * len(costs), 4.4), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    ticks = np.unique(np.linspace(1, archive.generation.max(), 6).round())
    colours = Normalize(0.5, archive.generation.max() + 0.5)
    for axes, cost in zip(panels, costs, strict=True):
        scale = _Scale(cost, learnt, archive[cost].max())
        dots = axes.scatter(
            *scale(archive), c=archive.generation, norm=colours, s=9, cmap="viridis_r", alpha=0.6, linewidth=0
        )
        axes.scatter(*scale(front), s=22, facecolors="none", edgecolors=INK, linewidth=0.6)
        axes.plot(*scale(_staircase(front, cost, learnt)), color=INK, linewidth=1.2, drawstyle="steps-post")
        axes.scatter(*scale(selected), s=110, marker="*", color=LEMMA_COLOURS[1], zorder=5, label="selected")
        finish(axes, scale.name, NAMES[learnt] if cost == costs[0] else "")
    panels[0].legend(frameon=False, loc="lower right" if learnt == "accuracy" else "upper right")
    figure.colorbar(dots, ax=list(panels), label="generation", pad=0.01, ticks=ticks)
    return figure


def hypervolume_figure(generations: pd.DataFrame) -> Figure:
    """Hypervolume against networks scored; beside it the true one, where a benchmark is known."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    _curve(axes, generations, "hypervolume", LEMMA_COLOURS[0], "of the bounds of the objectives")
    if generations.true_hypervolume.notna().any():
        _curve(axes, generations, "true_hypervolume", LEMMA_COLOURS[1], "by the truth, of the true front's")
        axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    finish(axes, "networks scored", "hypervolume, share")
    axes.legend(frameon=False)
    return figure


def shares_figure(runs: Sequence[SearchRun]) -> Figure:
    """Share of the true front's hypervolume against networks scored: means over seeds, here and there 95 % t intervals.

    These stand beside each other, not above each other, so that all can be seen.
    """
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    budgets = budgets_of(runs)
    for place, (searcher, own) in enumerate(by_searcher(runs).items()):
        models = range(
            max(budgets[-1] // 50, 1), min(run.result["models"] for run in own) + 1, max(budgets[-1] // 50, 1)
        )
        means = [100 * Interval.of(run.share_at(m) for run in own).mean for m in models]
        colour = COLOURS.get(searcher, INK)
        axes.plot(models, means, color=colour, linewidth=1.6, label=LABELS.get(searcher, searcher))
        spans = [Interval.of(run.share_at(min(m, run.result["models"])) for run in own) for m in budgets]
        x = [m + 0.008 * (place - 2) * budgets[-1] for m in budgets]
        half = [100 * (span.high - span.mean) for span in spans]
        axes.errorbar(x, [100 * s.mean for s in spans], half, color=colour, linestyle="none", marker="o", markersize=3)
    finish(axes, "networks scored", "share of the true front's hypervolume, %")
    axes.set_ylim(top=100.5)
    axes.legend(frameon=False, loc="lower right")
    return figure


def fronts_figure(runs: Sequence[SearchRun]) -> Figure:
    """FairNAS Figure 6: the front that each searcher found with its first seed, by true accuracy against the costs.

    The least accurate quarter of the true front is cut off: it is steep, and all that is above would be one line.
    """
    costs = [name for name in runs[0].result["objectives"] if name not in LEARNT] or ["macs"]
    true = runs[0].true_front.assign(accuracy=lambda table: table.truth)
    figure = Figure(figsize=(1 + 4.5 * len(costs), 4.6), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(panels, costs, strict=True):
        scale = _Scale(cost, "accuracy", true[cost].max())
        steps = {"drawstyle": "steps-post", "marker": "o", "markersize": 3}
        axes.plot(
            *scale(_staircase(true, cost, "accuracy")),
            color=GRID,
            linewidth=5,
            label="true front",
            drawstyle="steps-post",
        )
        for searcher, own in by_searcher(runs).items():
            found = min(own, key=lambda run: run.seed).front
            known = found.assign(accuracy=found.truth).dropna(subset="accuracy")
            colour, name = COLOURS.get(searcher, INK), LABELS.get(searcher, searcher)
            axes.plot(*scale(_staircase(known, cost, "accuracy")), color=colour, linewidth=1.1, label=name, **steps)
        axes.set_ylim(bottom=100 * true.accuracy.quantile(0.25))
        finish(axes, scale.name, "true accuracy, %" if cost == costs[0] else "")
    legend(figure, panels[0])
    return figure


def by_searcher(runs: Sequence[SearchRun]) -> dict[str, list[SearchRun]]:
    """In the order of the tables."""
    names = sorted(
        {run.searcher for run in runs}, key=lambda name: (list(LABELS).index(name) if name in LABELS else 99, name)
    )
    return {name: [run for run in runs if run.searcher == name] for name in names}


def _curve(axes: Axes, table: pd.DataFrame, column: str, colour: str, label: str) -> None:
    axes.plot(table.models, table[column], color=colour, linewidth=1.6, marker="o", markersize=3, label=label)


class _Scale:
    """Costs in millions if the largest is above one, else in thousands; accuracies in percent."""

    def __init__(self, cost: str, learnt: str, largest: float) -> None:
        self.cost, self.learnt = cost, learnt
        self.unit, words = (1e6, ", millions") if largest > 1e6 else (1e3, ", thousands")
        if cost == "latency":
            self.unit, words = 1.0, ""
        self.name = NAMES[cost] + words

    def __call__(self, table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """x and y of a table's rows."""
        return table[self.cost] / self.unit, table[self.learnt] * (100.0 if self.learnt == "accuracy" else 1.0)


def _staircase(front: pd.DataFrame, cost: str, learnt: str) -> pd.DataFrame:
    """Of a front in all objectives the rows that none beats in this cost and the learnt value, by cost."""
    gain = front[learnt] * (1 if learnt == "accuracy" else -1)
    ordered = front.assign(gain=gain).sort_values([cost, "gain"], ascending=[True, False])
    return ordered[ordered.gain > ordered.gain.cummax().shift(fill_value=-float("inf"))]
