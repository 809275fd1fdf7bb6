"""Figures of training and of scores: accuracy curves, histograms, one-shot against the truth, counts, Lemma 1.

Accuracies come in as fractions and are drawn in percent. `bn` is the batch-norm protocol that made the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from src.analysis.report.chart import INK, Axis, Band, Bars, Chart, Line, Note, Panel, Points, Rule, floats, rows_of
from src.analysis.report.curves import lemma_curve
from src.analysis.report.style import LEMMA_COLOURS, colours, label, order, score_label

BLUE = "#0072B2"


CURVES_READING = (
    "FairNAS Figure 1, top. Mean one-shot accuracy of {paths} on held-out images (BN {bn}). Line: "
    "mean over seeds. Shade: one standard deviation over paths, its mean over seeds. A step of strict fairness "
    "makes one backward pass for each choice of a layer, a step of SPOS makes one: which method is ahead may "
    "change from one axis to the other."
)
HISTOGRAM_READING = (
    "FairNAS Figure 1, bottom. One-shot accuracies of the scored paths, all seeds together (BN {bn}). A tail on "
    "the left is made of paths that the supernet serves badly."
)
LEMMA_READING = (
    "FairNAS Figure 4. The chance that uniform sampling has trained all m choices of a layer equally often after "
    "n draws: below 0.2 for two choices after 20 draws, and falling to 0."
)
SCATTER_READING = (
    "As FairNAS Figure 8. A dot is an architecture, its one-shot accuracy the mean over seeds{protocol}. A "
    "supernet that ranks well gives a rising line; τ in the table is that of single seeds."
)
SPREAD_READING = (
    "Updates of the most trained choice of a layer minus those of the least trained one, in the least even layer. "
    "Strict fairness keeps this at 0 where all layers have equally many choices (Definition 3); under uniform "
    "draws it grows with the root of the steps. Line: mean over seeds. Shade: lowest to highest seed."
)


def accuracy_curves(curves: Mapping[str, pd.DataFrame], bn: str = "", paths: int | None = None) -> Chart:
    """FairNAS Figure 1, top: mean one-shot accuracy against supernet steps and backward passes, by method.

    `curves` have the columns curves.CURVE; `paths` is how many fixed paths they are means of.
    """
    panels = []
    for x, name in (("step", "supernet steps"), ("passes", "backward passes")):
        # Per method a shade and a line; both come and go with one entry of the legend
        series: list[Band | Line] = []
        for method, colour in colours(curves).items():
            curve = curves[method]
            hover = tuple(
                f"{100 * mean:.1f} % (paths: {100 * low:.1f} to {100 * high:.1f}), {seeds} seed(s)"
                for mean, low, high, seeds in zip(*(curve[c] for c in ("mean", "low", "high", "seeds")), strict=True)
            )
            series += band_and_line(curve, (x, "mean", "low", "high"), method, colour, hover, 100)
        # The y axis is shared: label the first panel alone
        y = score_label("accuracy", bn) if x == "step" else ""
        panels.append(Panel(tuple(series), Axis(name, (0, None)), Axis(y)))
    fixed = f"{paths} fixed paths" if paths else "fixed paths"
    return Chart(
        "One-shot accuracy over supernet steps and backward passes",
        CURVES_READING.format(paths=fixed, bn=bn or "as logged"),
        (tuple(panels),),
        size=(10, 4.2),
        share_y=True,
        together=True,
    )


def band_and_line(
    curve: pd.DataFrame,
    columns: tuple[str, str, str, str],
    method: str,
    colour: str,
    hover: tuple[str, ...],
    by: float = 1.0,
) -> list[Band | Line]:
    """The curve of a method with its shade; `columns` are x, mean, low and high, the last three drawn times `by`."""
    x, mean, low, high = columns
    places, lows, highs = floats(curve[x]), floats(curve[low], by), floats(curve[high], by)
    return [
        Band(x=places, low=lows, high=highs, colour=colour, group=method),
        Line(x=places, y=floats(curve[mean], by), colour=colour, name=label(method), group=method, hover=hover),
    ]


def accuracy_histograms(accuracies: Mapping[str, Sequence[float]], bn: str = "") -> Chart:
    """FairNAS Figure 1, bottom: one-shot accuracies of the scored paths, a row per method, all seeds together."""
    shown = {method: 100 * np.asarray(values) for method, values in accuracies.items() if len(values)}
    # The same bins and axes for all methods, so that rows can be compared
    edges = floats(bin_edges(np.concatenate(list(shown.values())))) if shown else (0.0, 100.0)
    palette = colours(accuracies)
    panels: list[Panel] = []
    for method in order(shown):
        values = shown[method]
        # Shares, not counts: methods may have been scored on different numbers of seeds
        share = 100 * np.histogram(values, edges)[0] / len(values)
        hover = tuple(
            f"{low:.1f} to {high:.1f} %: {part:.1f} % of the paths"
            for low, high, part in zip(edges, edges[1:], share, strict=False)
        )
        bars = Bars(edges=edges, heights=floats(share), colour=palette[method], hover=hover)
        mean = Rule(across="x", at=float(values.mean()), dash="dash")
        # The axis is shared: label the last row alone
        x = score_label("accuracy", bn) if len(panels) == len(shown) - 1 else ""
        title = f"{label(method)}, mean {values.mean():.1f} %"
        panels.append(Panel((bars, mean), Axis(x), Axis("paths, %"), title))
    return Chart(
        "Distribution of one-shot accuracies",
        HISTOGRAM_READING.format(bn=bn),
        rows_of(panels, 1),
        size=(7, 0.8 + 1.25 * max(len(shown), 1)),
        share_x=True,
        share_y=True,
    )


def histogram(scores: ArrayLike, title: str = "") -> Chart:
    """One run's one-shot accuracies, `scores` (n,) in [0, 1]: how many paths reach what, with mean and range."""
    values = 100 * np.asarray(scores, dtype=float)
    edges = bin_edges(values)
    # a bar a bin, and the mean
    heights = np.histogram(values, edges)[0]
    hover = tuple(f"{low:.1f} to {high:.1f} %: {n:,}" for low, high, n in zip(edges, edges[1:], heights, strict=False))
    bars = Bars(edges=floats(edges), heights=floats(heights), colour=BLUE, hover=hover)
    mean = Rule(across="x", at=float(values.mean()), dash="dash")
    # mean and range stand above the panel too, for the PNG, which has no hover texts
    summary = f"{len(values):,} paths: mean {values.mean():.1f} %, {values.min():.1f} to {values.max():.1f} %"
    panel = Panel(
        (bars, mean),
        Axis("one-shot accuracy, %"),
        Axis("paths", integer=True),
        f"{title}\n{summary}" if title else summary,
    )
    return Chart("One-shot accuracies", "Dashed: the mean.", ((panel,),), size=(6, 3.4))


def bin_edges(values: ArrayLike) -> np.ndarray:
    """10 to 40 equal bins over the range of `values` (n,), about the square root of n of them; never of width 0."""
    known = np.asarray(values, dtype=float)
    low, high = float(known.min()), float(known.max())
    # Equal scores would make bins of width 0, which cannot be drawn
    room = 0.5 if low == high else 0.0
    return np.linspace(low - room, high + room, int(np.clip(np.sqrt(len(known)), 10, 40)) + 1)


def lemma_figure(choices: Sequence[int] = (2, 3, 6)) -> Chart:
    """FairNAS Figure 4: how likely uniform sampling is to train m choices equally often in n draws (Lemma 1)."""
    series: list[Line | Points | Note] = []
    for m, colour in zip(choices, LEMMA_COLOURS, strict=False):
        n, f = (floats(lemma_curve(m)[column]) for column in ("n", "f"))
        hover = tuple(f"f({m}, {draws:.0f}) = {chance:.4f}" for draws, chance in zip(n, f, strict=True))
        series.append(Line(x=n, y=f, colour=colour, name=f"m = {m}", hover=hover, marker="dot", width=1.4))
    x, y = Axis("n, number of times the layer is trained"), Axis("f(m, n), chance of equal counts")
    # The paper's example
    marked = float(lemma_curve(2, 20)["f"].iloc[-1])
    series.append(Points(x=(20,), y=(marked,), colour=INK, marker="ring", size=9, opacity=1))
    series.append(Note(x=20, y=marked, text=f"f(2, 20) = {marked:.3f}", text_x=28, text_y=0.3))
    return Chart(
        "Why uniform sampling is not even",
        LEMMA_READING,
        ((Panel(tuple(series), x, y),),),
    )


def scatter(points: Mapping[str, pd.DataFrame], bn: str = "") -> Chart:
    """One-shot accuracy against the ground truth, a panel per method, a dot per architecture (mean over seeds).

    `points` have the columns arch, truth, accuracy. Each panel has a y scale of its own: the order is what counts here,
    the level is in the histograms.
    """
    shown = {method: table for method, table in points.items() if len(table)}
    # As few rows as fit, evenly filled: 5 panels are 3 + 2, not 4 + 1
    lines = -(-max(len(shown), 1) // 4)
    columns = -(-max(len(shown), 1) // lines)
    protocol = f" (BN {bn})" if bn else ""
    # Colours by all methods, shown or not: a method keeps its own from figure to figure
    palette = colours(points)
    panels = []
    for method in order(shown):
        x, y = (floats(shown[method][column], 100) for column in ("truth", "accuracy"))
        hover = tuple(
            f"{arch}<br>alone {truth:.1f} %, one-shot {score:.1f} %"
            for arch, truth, score in zip(shown[method]["arch"], x, y, strict=True)
        )
        dots = Points(x=x, y=y, colour=palette[method], hover=hover, group=method, opacity=0.6)
        panels.append(Panel((dots,), title=label(method)))
    return Chart(
        "One-shot accuracy against stand-alone accuracy",
        SCATTER_READING.format(protocol=protocol),
        rows_of(panels, columns),
        size=(0.8 + 2.7 * columns, 0.4 + 2.7 * lines),
        share_x=True,
        x_label="accuracy when trained alone, %",
        y_label=score_label("accuracy", bn),
    )


def spread_curves(curves: Mapping[str, pd.DataFrame]) -> Chart:
    """Largest difference between the counts of two choices of one layer, against supernet steps; shades over seeds."""
    series: list[Band | Line] = []
    for method, colour in colours(curves).items():
        curve = curves[method]
        hover = tuple(
            f"{mean:,.0f} (seeds: {low:,.0f} to {high:,.0f}), {seeds} seed(s)"
            for mean, low, high, seeds in zip(*(curve[c] for c in ("mean", "low", "high", "seeds")), strict=True)
        )
        series += band_and_line(curve, ("step", "mean", "low", "high"), method, colour, hover)
    # A spread of 0 throughout, that of strict fairness, lies on the axis and not in the middle of nothing
    highest = max((max(s.high, default=0) for s in series if isinstance(s, Band)), default=0)
    y = Axis("count spread within a layer", (0.0, None if highest else 1.0), integer=True)
    return Chart(
        "How evenly the choices were trained",
        SPREAD_READING,
        ((Panel(tuple(series), Axis("supernet steps", (0, None)), y),),),
        together=True,
    )
