"""Figures of searches: fronts, hypervolume over networks scored, shares of the true front by searcher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from src.analysis.report.chart import GREY, GRID, INK, Axis, Chart, ColourScale, Line, Panel, Points, Rule, floats
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.searches import COLOURS, LABELS, SearchRun, budgets_of
from src.analysis.report.style import LEMMA_COLOURS, VIRIDIS
from src.runtime.run_folder import LEARNT

AXES = {
    "accuracy": "accuracy, %",
    "loss": "loss",
    "macs": "multiply-adds",
    "params": "parameters",
    "latency": "latency, ms",
}


FRONT_READING = (
    "FairNAS Figures 6 and 11. A dot is a network, coloured by the generation that proposed it. Rims: the front of "
    "all objectives. Line: what can be had within a cost, if that one alone counts. Stars: selected networks."
)
SHARES_READING = (
    "Share of the true front's hypervolume that a search's front dominates, measured by the truth. Lines: means "
    "over seeds. Bars: 95 % t intervals at a quarter, half and all of the networks."
)
FRONTS_READING = (
    "FairNAS Figure 6. For each cost alone, the best true accuracy that a searcher's front offers within it; "
    "without the steep quarter of the true front at its lower end."
)


def front_figure(
    archive: pd.DataFrame, front: pd.DataFrame, selected: pd.DataFrame, learnt: str, costs: Sequence[str], bn: str = ""
) -> Chart:
    """FairNAS Figures 6 and 11: accuracy or loss against each cost, coloured by generation.

    The line in each panel is what can be had within a cost, if that one alone counts; dots with a rim are the front of
    all objectives. `bn` is the batch-norm protocol where a supernet made the scores.
    """
    last = int(archive.generation.max())
    # At most six labels, on whole generations
    ticks = floats(np.unique(np.linspace(1, last, 6).round()))
    panels: list[Panel] = []
    for cost in costs:
        # Dots of all networks, then what stands out among them: the front, its steps, the selected
        unit, name = cost_unit(cost, archive[cost].max())
        tables = (archive, front, staircase(front, cost, learnt), selected)
        (x, y), rim, steps, stars = (points_of(table, cost, learnt, unit) for table in tables)
        hover = tuple(
            f"{arch}<br>{one:.4g}, {score:.4g}, generation {generation}"
            for arch, one, score, generation in zip(archive.arch, x, y, archive.generation, strict=True)
        )
        series = (
            Points(x=x, y=y, colour=floats(archive.generation), opacity=0.6, hover=hover),
            Points(x=rim[0], y=rim[1], colour=INK, marker="ring", size=4.7, opacity=1, name="front of all objectives"),
            Line(x=steps[0], y=steps[1], colour=INK, width=1.2, steps=True, name="front of this cost alone"),
            Points(
                x=stars[0],
                y=stars[1],
                colour=LEMMA_COLOURS[1],
                marker="star",
                size=10.5,
                opacity=1,
                name="selected",
                hover=tuple(map(str, selected.arch)),
            ),
        )
        y_label = AXES[learnt] + (f" (BN {bn})" if bn else "")
        panels.append(Panel(series, Axis(name), Axis(y_label if not panels else "")))
    return Chart(
        "Networks scored and their front",
        FRONT_READING,
        (tuple(panels),),
        size=(1 + 4.5 * len(costs), 4.4),
        share_y=True,
        scale=ColourScale("generation", 0.5, last + 0.5, VIRIDIS[::-1], ticks),
    )


def hypervolume_figure(generations: pd.DataFrame) -> Chart:
    """Hypervolume against networks scored; beside it the true one, where a benchmark is known."""
    # Shares by the searcher's own scores, and by the truth where a benchmark knows it
    curves = {"by the scores, of the objectives' bounds": "hypervolume"}
    if generations.true_hypervolume.notna().any():
        curves["by the truth, of the true front's hypervolume"] = "true_hypervolume"
    series: list[Line | Rule] = []
    for (name, column), colour in zip(curves.items(), LEMMA_COLOURS, strict=False):
        x, y = floats(generations.models), floats(generations[column])
        hover = tuple(f"{share:.3f}" for share in y)
        series.append(Line(x=x, y=y, colour=colour, name=name, width=1.6, marker="dot", hover=hover))
    if len(curves) > 1:
        series.append(Rule(across="y", at=1.0, colour=GREY, dash="dot"))
    return Chart(
        "Hypervolume over networks scored",
        "The hypervolume that the front dominates, after every generation; dotted: that of the true front.",
        ((Panel(tuple(series), Axis("networks scored"), Axis("hypervolume, share")),),),
        size=(5.5, 3.9),
        together=True,
    )


def shares_figure(runs: Sequence[SearchRun]) -> Chart:
    """Share of the true front's hypervolume against networks scored: means over seeds, here and there 95 % t intervals.

    The intervals stand beside each other, not above each other, so that all can be seen.
    """
    # Fifty points a curve: each is a hypervolume for every seed
    budgets = budgets_of(runs)
    every = max(budgets[-1] // 50, 1)
    series: list[Line | Points] = []
    for place, (searcher, own) in enumerate(by_searcher(runs).items()):
        colour, name = COLOURS.get(searcher, INK), LABELS.get(searcher, searcher)
        models = range(every, min(run.result.models for run in own) + 1, every)
        means = floats([over_seeds(run.share_at(m) for run in own).mean for m in models], 100)
        hover = tuple(f"{mean:.1f} %, {len(own)} seed(s)" for mean in means)
        series.append(Line(x=floats(models), y=means, colour=colour, width=1.6, name=name, group=name, hover=hover))
        # Intervals at three budgets; a searcher that ended earlier keeps its last share
        spans = [over_seeds(run.share_at(min(m, run.result.models)) for run in own) for m in budgets]
        half = floats([span.high - span.mean for span in spans], 100)
        series.append(
            Points(
                # Shifted by place, or the intervals of six searchers would hide each other
                x=floats([m + 0.008 * (place - 2) * budgets[-1] for m in budgets]),
                y=floats([span.mean for span in spans], 100),
                colour=colour,
                half=half,
                opacity=1,
                group=name,
            )
        )
    return Chart(
        "Share of the true front against networks scored",
        SHARES_READING,
        (
            (
                Panel(
                    tuple(series),
                    Axis("networks scored"),
                    Axis("share of the true front's hypervolume, %", (None, 100.5)),
                ),
            ),
        ),
        size=(7.5, 4.8),
        together=True,
    )


def fronts_figure(runs: Sequence[SearchRun]) -> Chart:
    """FairNAS Figure 6: the front that each searcher reached with its first seed, by true accuracy against the costs.

    The least accurate quarter of the true front is cut off: it is steep, and all that is above would be one line.
    """
    costs = [name for name in runs[0].result.objectives if name not in LEARNT] or ["macs"]
    true = runs[0].true_front.assign(accuracy=lambda table: table.truth)
    panels: list[Panel] = []
    for cost in costs:
        unit, name = cost_unit(cost, true[cost].max())
        x, y = points_of(staircase(true, cost, "accuracy"), cost, "accuracy", unit)
        series = [Line(x=x, y=y, colour=GRID, width=5, steps=True, name="true front", behind=True)]
        for searcher, own in by_searcher(runs).items():
            own_front = min(own, key=lambda run: run.seed).front
            # Networks that the benchmark lacks have no true accuracy to be drawn at
            known = own_front.assign(accuracy=own_front.truth).dropna(subset="accuracy")
            steps = staircase(known, cost, "accuracy")
            x, y = points_of(steps, cost, "accuracy", unit)
            hover = tuple(
                f"{arch}<br>{one:.4g}, {accuracy:.2f} %" for arch, one, accuracy in zip(steps.arch, x, y, strict=True)
            )
            colour, shown = COLOURS.get(searcher, INK), LABELS.get(searcher, searcher)
            series.append(
                Line(x=x, y=y, colour=colour, name=shown, group=shown, width=1.1, steps=True, marker="dot", hover=hover)
            )
        # Cut off the steep quarter at the lower end
        bottom = (100 * float(true.accuracy.quantile(0.25)), None)
        panels.append(Panel(tuple(series), Axis(name), Axis("" if panels else "true accuracy, %", bottom)))
    return Chart(
        "Fronts of the first seed by true accuracy",
        FRONTS_READING,
        (tuple(panels),),
        size=(1 + 4.5 * len(costs), 4.6),
        share_y=True,
    )


def by_searcher(runs: Sequence[SearchRun]) -> dict[str, list[SearchRun]]:
    """Runs of each searcher, in the order of the tables."""
    names = sorted(
        {run.searcher for run in runs}, key=lambda name: (list(LABELS).index(name) if name in LABELS else 99, name)
    )
    return {name: [run for run in runs if run.searcher == name] for name in names}


def cost_unit(cost: str, largest: float) -> tuple[float, str]:
    """Unit and axis label of a cost: millions if the largest is above one, else thousands; milliseconds as they are."""
    if cost == "latency":
        return 1.0, AXES[cost]
    return (1e6, f"{AXES[cost]}, millions") if largest > 1e6 else (1e3, f"{AXES[cost]}, thousands")


def points_of(table: pd.DataFrame, cost: str, learnt: str, unit: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """x and y of a table's rows: the cost in its unit, accuracies in percent."""
    return floats(table[cost], 1 / unit), floats(table[learnt], 100 if learnt == "accuracy" else 1)


def staircase(front: pd.DataFrame, cost: str, learnt: str) -> pd.DataFrame:
    """The rows of a front in all objectives that none beats in this cost and the learnt value, by cost."""
    # By cost, the best first where costs are equal; kept is what exceeds all that is cheaper
    gain = front[learnt] * (1 if learnt == "accuracy" else -1)
    ordered = front.assign(gain=gain).sort_values([cost, "gain"], ascending=[True, False])
    return ordered[ordered.gain > ordered.gain.cummax().shift(fill_value=-float("inf"))]
