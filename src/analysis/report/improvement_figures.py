"""Figures of what pruning by predictions keeps [paper: inter-choice weights, Figures 3-5, 8 and 9].

Architectures left run from all of them on the left to few on the right, on a logarithmic scale: the few are what a
search is about. Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from src.analysis.report.chart import GREY, Axis, Band, Chart, Dash, Line, Panel, Rule, SecondScale, Series, floats
from src.analysis.report.figures import band_and_line
from src.analysis.report.rankings import LEFT
from src.analysis.report.selection import Selection
from src.analysis.report.style import baseline_label, colours

DASHES: tuple[Dash, ...] = ("dash", "dot", "dashdot")
"""One for each counting baseline, all of them grey."""

IMPROVEMENT = "improvement (0: mean of all, 1: best)"
MARGIN = 0.04
"""Of the range of accuracies, above and below what is drawn."""

KEPT_READING = (
    "Inter-choice weights, Figures 4 and 5. The architectures predicted worst by {score} are pruned one by one, from "
    "all {n:,} on the left to ten on the right; drawn is the mean true accuracy of those left. On the right's scale 0 "
    "is the mean of all, which a random choice gives, and 1 the best architecture. Where a curve stops rising, the "
    "supernet finds nothing better among what it keeps. Line: mean over seeds. Shade: lowest to highest seed, or one "
    "standard deviation from four seeds on. Grey: pruning what has the fewest parameters or multiply-adds."
)
ALL_READING = (
    "Inter-choice weights, Figures 8 and 9. The same curves down to the one architecture that is predicted best by "
    "{score}. Below ten left, single architectures decide and seeds part: no difference there should be trusted."
)
TAU_READING = (
    "Inter-choice weights, Figure 3. Above: the improvement as those predicted worst by {score} are pruned. Below: τ "
    "over the truly best architectures, as the truly worst are taken away one by one; where it nears 0, the supernet "
    "no longer orders the good ones, and pruning further by its predictions gains nothing."
)


def improvement_figure(selection: Selection, least: int = LEFT) -> Chart:
    """Mean truth of what is left until `least` are, by method; read as an improvement on the right.

    Line: mean over seeds. Shade: lowest to highest seed, or one standard deviation from four seeds on. Grey: counting.
    """
    hover = "{mean:.2f} % (improvement {improvement:.2f}), {seeds} seed(s)"
    series = method_series(selection.kept, ("left", "mean", "low", "high"), hover, 100, least)
    series += baseline_series(selection.counted, "mean", 100, least)
    # Explicit ends, for both scales must be cut at the same accuracies
    drawn = [v for s in series for part in ((s.low, s.high) if isinstance(s, Band) else (s.y,)) for v in part]
    low, high = (float(np.nanmin(drawn)), float(np.nanmax(drawn))) if drawn else (0.0, 100.0)
    room = MARGIN * (high - low) or 1.0
    scale = SecondScale(IMPROVEMENT, *(100 * end for end in selection.ends)) if selection.ends else None
    panel = Panel(
        tuple(series),
        left_axis(selection, least, f"architectures left, those predicted worst by {selection.score} pruned"),
        Axis("mean true accuracy of those left, %", (low - room, high + room)),
        second=scale,
    )
    # The same figure twice: to ten left, where differences can be trusted, and to the one predicted best
    to_ten = least == LEFT
    return Chart(
        "Mean true accuracy under pruning, until ten are left" if to_ten else "The same until one is left",
        (KEPT_READING if to_ten else ALL_READING).format(score=selection.score, n=selection.architectures),
        ((panel,),),
        size=(8.5, 4.8),
        together=True,
    )


def improvement_and_tau(selection: Selection, least: int = LEFT) -> Chart:
    """Inter-choice Figure 3: above, the improvement as the predicted worst go; below, tau as the truly worst go."""
    columns = ("left", "improvement", "improvement_low", "improvement_high")
    above = method_series(selection.kept, columns, "{improvement:.3f}, {seeds} seed(s)", 1, least)
    above += baseline_series(selection.counted, "improvement", 1, least)
    # tau of the truly best: below 0 the order is worse than chance
    columns = ("left", "tau", "tau_low", "tau_high")
    below: list[Series] = [Rule(across="y")]
    below += method_series(selection.best, columns, "{tau:.3f}, {seeds} seed(s)", 1, least)
    x = f"architectures left (above: worst by {selection.score} pruned, below: truly worst)"
    return Chart(
        "Where the supernets stop ordering",
        TAU_READING.format(score=selection.score),
        (
            (Panel(tuple(above), left_axis(selection, least), Axis(IMPROVEMENT)),),
            (Panel(tuple(below), left_axis(selection, least, x), Axis("Kendall's τ of those left")),),
        ),
        size=(8.5, 6.6),
        share_x=True,
        together=True,
    )


def method_series(
    curves: Mapping[str, pd.DataFrame], columns: tuple[str, str, str, str], hover: str, by: float, least: int
) -> list[Band | Line]:
    """A band and a line for each method; `hover` is a format of the curve's columns, `mean` in percent."""
    series: list[Band | Line] = []
    for method, colour in colours(curves).items():
        curve = curves[method][curves[method]["left"] >= least]
        # Hover texts give the truth in percent, whatever column is drawn
        rows = curve.assign(mean=100 * curve["mean"]) if "mean" in curve else curve
        texts = tuple(hover.format(**{str(k): v for k, v in row.items()}) for row in rows.to_dict("records"))
        series += band_and_line(curve, columns, method, colour, texts, by)
    return series


def baseline_series(curves: Mapping[str, pd.DataFrame], column: str, by: float, least: int) -> list[Band | Line]:
    """Pruning by counts: thin, grey and dashed, below the methods."""
    series: list[Band | Line] = []
    for (name, whole), dash in zip(curves.items(), DASHES, strict=False):
        curve = whole[whole["left"] >= least]
        hover = tuple(
            f"{100 * mean:.2f} % (improvement {improvement:.2f})"
            for mean, improvement in zip(curve["mean"], curve["improvement"], strict=True)
        )
        x, y = floats(curve["left"]), floats(curve[column], by)
        name = baseline_label(name)
        series.append(Line(x=x, y=y, colour=GREY, name=name, hover=hover, width=1.1, dash=dash, behind=True))
    return series


def left_axis(selection: Selection, least: int, label: str = "") -> Axis:
    """Architectures left, falling from all of them to `least`."""
    n = selection.architectures
    return Axis(label, (n, least), log=True, ticks=tuple((tick, f"{tick:,}") for tick in ticks(n, least)))


def ticks(n: int, least: int) -> list[int]:
    """n, and below it 1, 2, (3,) 5 times powers of ten down to `least`; none so near n that labels would touch."""
    # Over two powers of ten and more, a label at every 3 would touch its neighbours
    digits = (1, 2, 5) if n > 20 * least else (1, 2, 3, 5)
    round_ones = [digit * 10**power for power in range(len(str(n))) for digit in digits]
    return [*(tick for tick in round_ones if least <= tick < 0.8 * n), n]
