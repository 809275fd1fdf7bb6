"""Figures of sampling by importance, and of the variance of the gradient, by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from src.analysis.report.chart import Axis, Band, Chart, Line, Panel, floats, rows_of
from src.analysis.report.figures import band_and_line
from src.analysis.report.style import SPARE, colours, label, order

DRAWS_READING = (
    "How often each operation was drawn, in percent of the draws of an epoch, all layers and seeds together. Uniform "
    "sampling draws all alike; a rising share of operations with parameters is a schedule, whatever gradients say."
)
IMAGES_READING = (
    "Images that an epoch drew at least once, and the effective number of images behind its weighted mean, both in "
    "percent of the training part. A shuffle has 100 of both. Line: mean over seeds. Shade: lowest to highest seed."
)
VARIANCE_READING = (
    "Variance of a scalar weight's gradient over the S steps of an epoch that sampled it, its mean over weights. The "
    "gradient is that before clipping, divided by the paths of an update. As in PA&DA's equations 14 and 15, and over "
    "S - 1 instead of S, by which methods compare. Line: mean over seeds. Shade: lowest to highest seed."
)
LEARNT_READING = (
    "What importance made of the run. Smoothing: the share of the draws that follows what was learnt, the rest is "
    "uniform. Entropy of the distribution over the choices of a layer, mean over layers: as long as it is that of "
    "uniform draws, nothing was learnt. Clipped: updates whose gradient was longer than the clip, whose norms all "
    "look alike. Line: mean over seeds. Shade: lowest to highest seed."
)
LEARNT = {
    "path_smoothing": "smoothing, paths",
    "data_smoothing": "smoothing, images",
    "entropy": "entropy of a layer, nats",
    "clipped_share": "clipped updates, share",
    "score_50_percent": "median score of an image",
}
IMAGES = {"distinct_images": "distinct images, %", "effective_images": "effective images, %"}
VARIANCE = {
    "gradient_variance_raw": "all weights, equation 15",
    "gradient_variance_unbiased": "all weights, S - 1",
    "gradient_variance_unbiased_choices": "choices, S - 1",
}


def draws_figure(shares: Mapping[str, pd.DataFrame]) -> Chart:
    """Shares of operations over epochs, a panel per method; `shares` are those of curves.draw_shares."""
    shown = [method for method in order(shares) if len(shares[method])]
    names = list(dict.fromkeys(name for method in shown for name in shares[method].columns))
    palette = dict(zip(names, SPARE * len(names), strict=False))
    panels = []
    for method in shown:
        table = shares[method]
        lines = []
        for name in table.columns:
            y = floats(table[name], 100)
            hover = tuple(f"{name}: {share:.1f} %" for share in y)
            lines.append(Line(x=floats(table.index), y=y, colour=palette[name], name=name, group=name, hover=hover))
        panels.append(Panel(tuple(lines), Axis("epoch", integer=True), Axis("draws, %", (0, None)), label(method)))
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    return Chart(
        "Operations drawn",
        DRAWS_READING,
        rows_of(panels, columns),
        size=(3.6 * columns, 0.6 + 2.6 * rows),
        share_y=True,
    )


def images_figure(curves: Mapping[str, Mapping[str, pd.DataFrame]]) -> Chart:
    """Distinct and effective images by epoch; `curves` by figure of IMAGES and method."""
    return curve_panels("Images drawn", IMAGES_READING, IMAGES, curves, by=100)


def learnt_figure(curves: Mapping[str, Mapping[str, pd.DataFrame]]) -> Chart:
    """Smoothing, entropy, clipping and scores by epoch, as far as known; `curves` by figure of LEARNT and method."""
    # a run may have importance of paths alone, or of images alone
    known = {name: title for name, title in LEARNT.items() if any(map(len, curves[name].values()))}
    shown = {name: {m: curve for m, curve in curves[name].items() if len(curve)} for name in known}
    return curve_panels("Importance", LEARNT_READING, known, shown, by=1)


def variance_figure(curves: Mapping[str, Mapping[str, pd.DataFrame]]) -> Chart:
    """Variance of the gradient by epoch; `curves` by figure of VARIANCE and method."""
    return curve_panels("Variance of the gradient", VARIANCE_READING, VARIANCE, curves, by=1, log=True)


def curve_panels(
    title: str,
    reading: str,
    names: Mapping[str, str],
    curves: Mapping[str, Mapping[str, pd.DataFrame]],
    by: float,
    log: bool = False,
) -> Chart:
    """A panel for each figure of `names`, with a curve of each method, drawn times `by`; `log`: the y axes are."""
    panels = []
    for figure, name in names.items():
        series: list[Band | Line] = []
        for method, colour in colours(curves[figure]).items():
            curve = curves[figure][method]
            hover = tuple(f"{by * value:.4g}" for value in curve["mean"])
            series += band_and_line(curve, ("epoch", "mean", "low", "high"), method, colour, hover, by)
        panels.append(
            Panel(tuple(series), Axis("epoch", integer=True), Axis(name, (None if log else 0, None), log=log))
        )
    columns = min(len(panels), 3)
    rows = rows_of(panels, columns)
    return Chart(title, reading, rows, size=(3.6 * columns, 0.6 + 3.2 * len(rows)), together=True)
