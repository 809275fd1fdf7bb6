"""Figures of a stand-alone ranking, after FairNAS's Figures 8 and 10.

k models. Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from src.analysis.report.figures import BLUE, finish
from src.analysis.report.style import GREY, INK

ORANGE = "#D55E00"


def ranks_figure(one_shot: ArrayLike, alone: ArrayLike, tau: Mapping[str, float | None]) -> Figure:
    """Both accuracies (k,) of the models in order of one-shot accuracy, and a line for each between its two ranks.

    Lines that fall or rise are orange: where none does, both orders are one. Rank 1 is the best.
    """
    x, y = np.asarray(one_shot, dtype=float), np.asarray(alone, dtype=float)
    order = np.argsort(x, kind="stable")
    figure = Figure(figsize=(9.5, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    models = np.arange(len(x))
    left.plot(models, 100 * x[order], "o-", color=BLUE, linewidth=1.6, markersize=5, label="one-shot, validation")
    left.plot(models, 100 * y[order], "s-", color=ORANGE, linewidth=1.6, markersize=5, label="alone, test")
    left.legend(frameon=False, loc="lower right")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(left, "model, in order of one-shot accuracy", "accuracy, %")
    _rank_lines(right, x, y)
    if tau["value"] is not None:
        right.set_title(
            f"Kendall's tau {tau['value']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}]", fontsize=10, color=INK
        )
    return figure


def _rank_lines(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    ranks = [rankdata(-values, method="average") for values in (x, y)]
    for before, after in zip(*ranks, strict=True):
        moved = before != after
        axes.plot([0, 1], [before, after], "o-", color=ORANGE if moved else GREY, linewidth=1.4, markersize=4)
    axes.set_xticks([0, 1], ["one-shot", "alone"])
    axes.set_xlim(-0.15, 1.15)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    finish(axes, "", "rank")


def training_figure(curves: Sequence[pd.DataFrame], one_shot: ArrayLike) -> Figure:
    """How each model was trained: training and validation accuracy by epoch, coloured by one-shot accuracy (k,).

    `curves` are the metrics.csv of the models.
    """
    values = 100 * np.asarray(one_shot, dtype=float)
    scale, palette = Normalize(values.min(), values.max()), colormaps["viridis_r"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, column, name in zip(panels, ("train/accuracy", "val/accuracy"), ("training", "validation"), strict=True):
        for curve, value in zip(curves, values, strict=True):
            known = curve.dropna(subset=[column])
            axes.plot(known["epoch"], 100 * known[column], color=palette(scale(value)), linewidth=1.3)
        finish(axes, "epoch", f"{name} accuracy, %")
        axes.set_xlim(left=0)
    _zoom(panels, curves)
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(scale, palette), ax=list(panels), pad=0.01)
    bar.set_label("one-shot accuracy, %", color=INK)
    bar.ax.tick_params(colors=GREY, labelsize=9)
    return figure


def _zoom(panels: Sequence[Axes], curves: Sequence[pd.DataFrame]) -> None:
    """Leave out the steep beginning, where all are alike: from below what the last half shows."""
    for axes, column in zip(panels, ("train/accuracy", "val/accuracy"), strict=True):
        halves = [curve.dropna(subset=[column]) for curve in curves]
        late = np.concatenate([curve[curve.epoch >= curve.epoch.max() / 4][column].to_numpy(float) for curve in halves])
        if len(late) and np.ptp(late) > 0:
            axes.set_ylim(100 * (late.min() - 0.05 * np.ptp(late)), 100 * (late.max() + 0.05 * np.ptp(late)))
