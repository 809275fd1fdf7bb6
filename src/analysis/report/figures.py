"""The figures as Matplotlib figures, for PNG files and loggers: tables in, a Figure out, no global state.

Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from src.analysis.report.curves import lemma_curve
from src.analysis.report.style import GREY, GRID, INK, LEMMA_COLOURS, colours, label, order

BLUE = "#0072B2"


def accuracy_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """FairNAS Figure 1, top: mean one-shot accuracy against supernet steps and against backward passes, by method.

    Shades: one standard deviation over paths, its mean over seeds.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, x, name in zip(panels, ("step", "passes"), ("supernet steps", "backward passes"), strict=True):
        for method, colour in colours(curves).items():
            curve = curves[method]
            axes.plot(curve[x], 100 * curve["mean"], color=colour, linewidth=1.8, label=label(method))
            axes.fill_between(curve[x], 100 * curve["low"], 100 * curve["high"], color=colour, alpha=0.12, linewidth=0)
        axes.set_xlim(left=0)
        finish(axes, name, "one-shot accuracy, %" if x == "step" else "")
    legend(figure, panels[0])
    return figure


def accuracy_histograms(accuracies: Mapping[str, Sequence[float]]) -> Figure:
    """FairNAS Figure 1, bottom: one-shot accuracies of the scored paths, a row per method, all seeds together."""
    shown = {method: 100 * np.asarray(values) for method, values in accuracies.items() if len(values)}
    figure = Figure(figsize=(7, 0.8 + 1.25 * max(len(shown), 1)), layout="constrained")
    rows = figure.subplots(max(len(shown), 1), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    edges = bin_edges(np.concatenate(list(shown.values()))) if shown else np.linspace(0, 100, 2)
    palette = colours(accuracies)
    for axes, method in zip(rows, order(shown), strict=False):
        values = shown[method]
        axes.hist(
            values, edges.tolist(), weights=np.full(len(values), 100 / len(values)), color=palette[method], alpha=0.85
        )
        axes.axvline(values.mean(), color=INK, linewidth=1, linestyle="--")
        axes.set_title(f"{label(method)}, mean {values.mean():.1f} %", loc="left", fontsize=9, color=INK)
        finish(axes, "", "paths, %")
    rows[-1].set_xlabel("one-shot accuracy, %")
    return figure


def histogram(scores: ArrayLike, title: str = "") -> Figure:
    """One run's one-shot accuracies, `scores` (n,) in [0, 1]: how many paths reach what, with mean and range."""
    values = 100 * np.asarray(scores, dtype=float)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bin_edges(values).tolist(), color=BLUE, alpha=0.85)
    axes.axvline(values.mean(), color=INK, linewidth=1, linestyle="--")
    found = f"{len(values):,} paths: mean {values.mean():.1f} %, {values.min():.1f} to {values.max():.1f} %"
    axes.set_title(f"{title}\n{found}" if title else found, loc="left", fontsize=10, color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    finish(axes, "one-shot accuracy, %", "paths")
    return figure


def bin_edges(values: ArrayLike) -> np.ndarray:
    """10 to 40 equal bins over the range of `values` (n,), about the square root of n of them; never of width 0."""
    known = np.asarray(values, dtype=float)
    low, high = float(known.min()), float(known.max())
    room = 0.5 if low == high else 0.0
    return np.linspace(low - room, high + room, int(np.clip(np.sqrt(len(known)), 10, 40)) + 1)


def lemma_figure(choices: Sequence[int] = (2, 3, 6)) -> Figure:
    """FairNAS Figure 4: how likely uniform sampling is to train m choices equally often in n draws (Lemma 1)."""
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for m, colour in zip(choices, LEMMA_COLOURS, strict=False):
        curve = lemma_curve(m)
        axes.plot(curve["n"], curve["f"], color=colour, marker=".", markersize=4, linewidth=1.4, label=f"m = {m}")
    marked = lemma_curve(2, 20).iloc[-1]
    axes.plot(marked["n"], marked["f"], "o", markerfacecolor="none", markeredgecolor=INK, markersize=9)
    axes.annotate(
        f"f(2, 20) = {marked['f']:.3f}", (20, marked["f"]), (28, 0.3), color=INK, arrowprops={"arrowstyle": "-"}
    )
    finish(axes, "n, times the layer is trained", "f(m, n), chance of equal counts")
    axes.legend(frameon=False)
    return figure


def scatter(points: Mapping[str, pd.DataFrame]) -> Figure:
    """One-shot accuracy against the ground truth, a panel per method, a dot per architecture (mean over seeds).

    Each panel has a scale of its own upwards: the order is what counts here, the level is in the histograms.
    """
    shown = {method: table for method, table in points.items() if len(table)}
    columns = min(max(len(shown), 1), 4)
    lines = -(-max(len(shown), 1) // columns)
    figure = Figure(figsize=(0.8 + 2.7 * columns, 0.4 + 2.7 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, squeeze=False)
    palette = colours(points)
    for axes, method in zip(panels.flat, order(shown), strict=False):
        table = shown[method]
        axes.scatter(100 * table["truth"], 100 * table["accuracy"], s=9, color=palette[method], alpha=0.6, linewidths=0)
        axes.set_title(label(method), loc="left", fontsize=10, color=INK)
        finish(axes, "", "")
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    figure.supxlabel("accuracy when trained alone, %", fontsize=10, color=INK)
    figure.supylabel("one-shot accuracy, %", fontsize=10, color=INK)
    return figure


def spread_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Largest difference between the counts of two choices of one layer, against supernet steps; shades over seeds."""
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for method, colour in colours(curves).items():
        curve = curves[method]
        axes.plot(curve["step"], curve["mean"], color=colour, linewidth=1.8, label=label(method))
        axes.fill_between(curve["step"], curve["low"], curve["high"], color=colour, alpha=0.12, linewidth=0)
    axes.set_xlim(left=0)
    finish(axes, "supernet steps", "count spread within a layer")
    legend(figure, axes)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of 150 dots per inch; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    return path


def finish(axes: Axes, x: str, y: str) -> None:
    """Labels, and no more lines than needed to read values off."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=9)


def legend(figure: Figure, axes: Axes) -> None:
    """One legend above the panels, where it covers no curve, with as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        inches = 0.6 + 0.075 * max(map(len, labels))
        columns = max(min(int(figure.get_figwidth() / inches), len(labels)), 1)
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
