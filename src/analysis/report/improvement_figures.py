"""What pruning by predictions is worth, as Matplotlib figures [paper: inter-choice weights, Figures 3-5, 8 and 9].

Architectures left run from all of them on the left to few on the right, on a logarithmic scale: the few are what a
search is about. Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.analysis.report.figures import finish, legend
from src.analysis.report.findings import LEFT
from src.analysis.report.selection import Selection
from src.analysis.report.style import GREY, INK, baseline_label, colours, label

DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""One for each counting baseline, all of them grey."""

PRUNED = "architectures left, the predicted worst pruned"
IMPROVEMENT = "improvement (0: mean of all, 1: best)"


def improvement_figure(selection: Selection, least: int = LEFT) -> Figure:
    """Mean truth of what is left until `least` are, by method; read as an improvement on the right.

    Line: mean over seeds. Shade: lowest to highest seed, or one standard deviation from four seeds on. Grey: counting.
    """
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    axes = figure.subplots()
    _methods(axes, selection.kept, ("mean", "low", "high"), 100, least)
    _counted(axes, selection.counted, "mean", 100, least)
    finish(axes, PRUNED, "mean true accuracy of those left, %")
    _scale(axes, selection.architectures, least)
    if selection.ends:
        _improvement_axis(axes, *(100 * end for end in selection.ends))
    legend(figure, axes)
    return figure


def improvement_and_tau(selection: Selection, least: int = LEFT) -> Figure:
    """Inter-choice Figure 3: above, the improvement as the predicted worst go; below, tau as the truly worst go."""
    figure = Figure(figsize=(8.5, 6.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _methods(above, selection.kept, ("improvement", "improvement_low", "improvement_high"), 1, least)
    _counted(above, selection.counted, "improvement", 1, least)
    _methods(below, selection.best, ("tau", "tau_low", "tau_high"), 1, least)
    below.axhline(0, color=INK, linewidth=0.8)
    finish(above, "", IMPROVEMENT)
    finish(below, "architectures left (above: predicted worst pruned, below: truly worst)", "Kendall's τ of those left")
    _scale(below, selection.architectures, least)
    legend(figure, above)
    return figure


def _methods(
    axes: Axes, curves: Mapping[str, pd.DataFrame], columns: tuple[str, str, str], by: int, least: int
) -> None:
    mean, low, high = columns
    for method, colour in colours(curves).items():
        curve = curves[method][curves[method]["left"] >= least]
        axes.plot(curve["left"], by * curve[mean], color=colour, linewidth=1.8, label=label(method))
        axes.fill_between(curve["left"], by * curve[low], by * curve[high], color=colour, alpha=0.12, linewidth=0)


def _counted(axes: Axes, curves: Mapping[str, pd.DataFrame], column: str, by: int, least: int) -> None:
    """Thin, grey and dashed, below the methods."""
    for (name, whole), dashes in zip(curves.items(), DASHES, strict=False):
        curve = whole[whole["left"] >= least]
        style: dict[str, Any] = {"color": GREY, "linewidth": 1.1, "linestyle": dashes, "zorder": 1.5}
        axes.plot(curve["left"], by * curve[column], label=baseline_label(name), **style)


def _improvement_axis(axes: Axes, zero: float, one: float) -> None:
    def improvement(accuracy: Any) -> Any:
        return (accuracy - zero) / (one - zero)

    def accuracy(improvement: Any) -> Any:
        return zero + improvement * (one - zero)

    right = axes.secondary_yaxis("right", functions=(improvement, accuracy))
    right.set_ylabel(IMPROVEMENT, color=INK)
    right.tick_params(colors=GREY, labelsize=9)
    right.spines["right"].set_color(GREY)


def _scale(axes: Axes, n: int, least: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(n, least)
    axes.set_xticks(found := ticks(n, least), labels=[f"{tick:,}" for tick in found])
    axes.minorticks_off()


def ticks(n: int, least: int) -> list[int]:
    """n, and below it 1, 2, (3,) 5 times powers of ten down to `least`; none so near n that labels would touch."""
    digits = (1, 2, 5) if n > 20 * least else (1, 2, 3, 5)
    round_ones = [digit * 10**power for power in range(len(str(n))) for digit in digits]
    return [*(tick for tick in round_ones if least <= tick < 0.8 * n), n]
