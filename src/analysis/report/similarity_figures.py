"""FairNAS Figures 2, 9, 12, 13 and 14: cosine similarities of feature maps as coloured matrices.

m choices, C channels. The colours are the same in all of them: blue above 0, white at 0, orange below.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from src.analysis.report.style import GREY, GRID, INK

STOPS = ((0.0, "#5A2600"), (0.2, "#D55E00"), (0.5, "#FFFFFF"), (0.8, "#0072B2"), (1.0, "#00243A"))
"""Dark towards the ends, where the similarities of well-aligned choices lie: 0.9 must not look like 1."""
COLOURS = LinearSegmentedColormap.from_list("similarity", list(STOPS))
SHOWN = 24
"""Channels that are drawn of a layer, as many as the paper's layer has."""


def choice_matrix(similarity: ArrayLike, names: Sequence[str]) -> Figure:
    """Choice against choice, `similarity` (m, m) a mean over channels, with its numbers; Figure 2, right."""
    values = np.asarray(similarity, dtype=float)
    size = 1.9 + 0.62 * len(names)
    figure = Figure(figsize=(size + 0.9, size), layout="constrained")
    axes = figure.subplots()
    image = _matrix(axes, values, "mean over channels", 10)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.4 else INK
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(names)), names, rotation=90)
    _bar(figure, image, [axes])
    return figure


def choice_matrices(similarities: ArrayLike, names: Sequence[str]) -> Figure:
    """Choice against choice on each channel, `similarities` (C, m, m), the first 24; Figures 9 and 13.

    The columns have the names of the rows.
    """
    values = np.asarray(similarities, dtype=float)[:SHOWN]
    titles = [f"channel {channel}" for channel in range(len(values))]
    figure, rows, image = _grid(values, titles, 6, 1.3)
    for row in rows:
        row[0].set_yticks(range(len(names)), names)
    _bar(figure, image, [axes for row in rows for axes in row])
    return figure


def channel_matrices(similarities: ArrayLike, names: Sequence[str]) -> Figure:
    """Channel against channel of each choice, `similarities` (m, C, C), the first 24; Figure 12."""
    return _channels(similarities, list(names), "channel", "channel")


def channel_matrices_to_first(similarities: ArrayLike, names: Sequence[str]) -> Figure:
    """Channels of choice 0 against those of each other, (m - 1, C, C), the first 24; `names` of all m; Figure 14.

    Raises:
        ValueError: there is no other choice.
    """
    if len(names) < 2:
        raise ValueError("a layer of one choice has no other to compare it with")
    titles = [f"{names[0]} and {name}" for name in names[1:]]
    return _channels(similarities, titles, "channel of the other", f"channel of {names[0]}")


def _channels(similarities: ArrayLike, titles: Sequence[str], x: str, y: str) -> Figure:
    values = np.asarray(similarities, dtype=float)[:, :SHOWN, :SHOWN]
    figure, rows, image = _grid(values, titles, 3, 2.5)
    panels = [axes for row in rows for axes in row]
    ticks = list(range(0, values.shape[-1], max(values.shape[-1] // 4, 1)))
    for axes in panels:
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        axes.set_xlabel(x, fontsize=9, color=INK)
    for row in rows:
        row[0].set_ylabel(y, fontsize=9, color=INK)
    _bar(figure, image, panels)
    return figure


def _grid(
    values: NDArray[np.float64], titles: Sequence[str], columns: int, size: float
) -> tuple[Figure, list[list[Axes]], AxesImage]:
    """A panel of `size` inches for each matrix of `values` (n, rows, columns); the axes come row by row."""
    columns = min(columns, len(values))
    lines = -(-len(values) // columns)
    figure = Figure(figsize=(1.6 + size * columns, 0.8 + (size + 0.25) * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes, matrix, title in zip(panels.flat, values, titles, strict=False):
        image = _matrix(axes, matrix, title, 9)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in panels.flat[len(values) :]:
        axes.set_visible(False)
    return figure, [[axes for axes in row if axes.get_visible()] for row in panels], image


def _matrix(axes: Axes, values: NDArray[np.float64], title: str, size: float) -> AxesImage:
    image = axes.imshow(values, cmap=COLOURS, vmin=-1, vmax=1, interpolation="nearest")
    axes.set_title(title, loc="left", fontsize=size, color=INK)
    axes.spines[:].set_color(GRID)
    axes.tick_params(colors=GREY, labelsize=8, length=0)
    return image


def _bar(figure: Figure, image: AxesImage, panels: Sequence[Axes]) -> None:
    """One scale for all panels, to their right."""
    bar = figure.colorbar(image, ax=list(panels), shrink=0.9, aspect=30, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("cosine similarity", color=INK, fontsize=9)
    bar.ax.tick_params(colors=GREY, labelsize=8, length=0)
    bar.outline.set_visible(False)
