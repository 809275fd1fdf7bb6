"""Figures of a stand-alone ranking, after FairNAS's Figures 8 and 10.

k models. Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from src.analysis.report.chart import GREY, Axis, Chart, ColourScale, Line, Marker, Panel, floats
from src.analysis.report.figures import BLUE
from src.analysis.report.style import VIRIDIS

ORANGE = "#D55E00"


def ranks_figure(one_shot: ArrayLike, alone: ArrayLike, tau: Mapping[str, float | None]) -> Chart:
    """Both accuracies (k,) of the models in order of one-shot accuracy, and a line for each between its two ranks.

    Lines that fall or rise are orange: where none does, both orders are one. Rank 1 is the best.
    """
    x, y = np.asarray(one_shot, dtype=float), np.asarray(alone, dtype=float)
    order = np.argsort(x, kind="stable")
    # Left: both accuracies by model
    kinds: dict[str, tuple[np.ndarray, str, Marker]] = {
        "one-shot, validation": (x, BLUE, "dot"),
        "alone, test": (y, ORANGE, "square"),
    }
    curves = []
    for name, (values, colour, marker) in kinds.items():
        drawn = floats(values[order], 100)
        hover = tuple(f"{value:.2f} %" for value in drawn)
        models = floats(range(len(x)))
        curves.append(Line(x=models, y=drawn, colour=colour, name=name, width=1.6, marker=marker, hover=hover))
    known = tau["value"] is not None
    title = f"Kendall's tau {tau['value']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}]" if known else ""
    columns = Axis(ends=(-0.15, 1.15), ticks=((0, "one-shot"), (1, "alone")))
    worst = len(x) + 0.5  # rank 1 at the top
    return Chart(
        "One-shot and stand-alone ranks",
        "FairNAS Figure 8. Left: both accuracies of each model. Right: a line for each model between its two ranks; "
        "orange where they differ.",
        (
            (
                Panel(
                    tuple(curves),
                    Axis("model, in order of one-shot accuracy", integer=True),
                    Axis("accuracy, %"),
                ),
                Panel(rank_lines(x, y), columns, Axis("rank", (worst, 0.5), integer=True), title),
            ),
        ),
        size=(9.5, 4.1),
        widths=(1.6, 1),
    )


def rank_lines(one_shot: np.ndarray, alone: np.ndarray) -> tuple[Line, ...]:
    """A line for each model (k,) from its one-shot rank to its stand-alone rank; ties share the mean of their ranks."""
    ranks = [rankdata(-values, method="average") for values in (one_shot, alone)]
    return tuple(
        Line(
            x=(0.0, 1.0),
            y=(float(before), float(after)),
            colour=ORANGE if before != after else GREY,
            width=1.4,
            marker="dot",
            hover=(f"model {model}: rank {before:g}", f"model {model}: rank {after:g}"),
        )
        for model, (before, after) in enumerate(zip(*ranks, strict=True))
    )


def training_figure(curves: Sequence[pd.DataFrame], one_shot: ArrayLike) -> Chart:
    """Training of each model: training and validation accuracy by epoch, coloured by one-shot accuracy (k,).

    `curves` are the metrics.csv of the models.
    """
    values = 100 * np.asarray(one_shot, dtype=float)
    scale = ColourScale("one-shot accuracy, %", float(values.min()), float(values.max()), VIRIDIS[::-1])
    panels = []
    for column, name in (("train/accuracy", "training"), ("val/accuracy", "validation")):
        # Rows of metrics.csv between two validations lack the column
        known = [curve.dropna(subset=[column]) for curve in curves]
        lines = tuple(
            Line(
                x=floats(curve["epoch"]),
                y=floats(curve[column], 100),
                colour=scale.colour(value),
                width=1.3,
                hover=tuple(f"one-shot {value:.2f} %: {100 * y:.2f} %" for y in curve[column]),
            )
            for curve, value in zip(known, values, strict=True)
        )
        # Leave out the steep beginning, where all are alike: the scale is that of the last three quarters
        late = np.concatenate([curve[curve.epoch >= curve.epoch.max() / 4][column].to_numpy(float) for curve in known])
        room = 0.05 * float(np.ptp(late)) if len(late) else 0.0
        ends = (100 * (late.min() - room), 100 * (late.max() + room)) if room > 0 else (None, None)
        panels.append(Panel(lines, Axis("epoch", (0, None)), Axis(f"{name} accuracy, %", ends)))
    return Chart(
        "Stand-alone training",
        "FairNAS Figure 10. A line is a model, coloured by the one-shot accuracy of its path.",
        (tuple(panels),),
        size=(10, 4),
        scale=scale,
    )
