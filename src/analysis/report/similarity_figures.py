"""FairNAS Figures 2, 9, 12, 13 and 14: cosine similarities of feature maps as coloured matrices.

m choices, C channels. The colours are the same in all of them: blue above 0, white at 0, orange below.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from src.analysis.report.chart import Axis, Chart, ColourScale, Matrix, Panel, floats, rows_of

# Dark towards the ends, where the similarities of well-aligned choices lie: 0.9 must not look like 1
SCALE = ColourScale(
    "cosine similarity",
    -1.0,
    1.0,
    (
        "#5A2600",
        "#983F00",
        "#D55E00",
        "#E39455",
        "#F1CAAA",
        "#FFFFFF",
        "#AAD0E6",
        "#55A1CC",
        "#0072B2",
        "#004B76",
        "#00243A",
    ),
    (-1, -0.5, 0, 0.5, 1),
)
SHOWN = 24
"""Channels that are drawn of a layer, as many as the paper's layer has."""


def choice_matrix(similarity: ArrayLike, names: Sequence[str]) -> Chart:
    """Choice against choice, `similarity` (m, m) a mean over channels, with its numbers; Figure 2, right."""
    size = 1.9 + 0.62 * len(names)
    ticks = tuple(enumerate(names))
    panel = Panel(
        (Matrix(rows=rows(similarity), numbers=True),),
        Axis(ticks=ticks, upright=True),
        Axis(ticks=ticks),
        "mean over channels",
    )
    return Chart("Similarity of choices", "FairNAS Figure 2, right.", ((panel,),), size=(size + 0.9, size), scale=SCALE)


def choice_matrices(similarities: ArrayLike, names: Sequence[str]) -> Chart:
    """Choice against choice on each channel, `similarities` (C, m, m), the first 24; Figures 9 and 13.

    The columns have the names of the rows.
    """
    # Labels of the choices at the first panel of each row alone, there are too many panels for more
    values = np.asarray(similarities, dtype=float)[:SHOWN]
    columns = min(6, len(values))
    panels = [
        Panel(
            (Matrix(rows=rows(matrix)),),
            Axis(ticks=()),
            Axis(ticks=tuple(enumerate(names)) if channel % columns == 0 else ()),
            f"channel {channel}",
        )
        for channel, matrix in enumerate(values)
    ]
    reading = "FairNAS Figures 9 and 13. The columns have the names of the rows."
    return matrices("Similarity of choices by channel", reading, panels, columns, 1.3)


def channel_matrices(similarities: ArrayLike, names: Sequence[str]) -> Chart:
    """Channel against channel of each choice, `similarities` (m, C, C), the first 24; Figure 12."""
    panels = channel_panels(similarities, names, "channel", "channel")
    return matrices("Similarity of channels", "FairNAS Figure 12.", panels, min(3, len(panels)), 2.5)


def channel_matrices_to_first(similarities: ArrayLike, names: Sequence[str]) -> Chart:
    """Channels of choice 0 against those of each other, (m - 1, C, C), the first 24; `names` of all m; Figure 14.

    Raises:
        ValueError: there is no other choice.
    """
    if len(names) < 2:
        raise ValueError("a layer of one choice has no other to compare it with")
    titles = [f"{names[0]} and {name}" for name in names[1:]]
    panels = channel_panels(similarities, titles, "channel of the other", f"channel of {names[0]}")
    return matrices("Similarity of channels of two choices", "FairNAS Figure 14.", panels, min(3, len(panels)), 2.5)


def channel_panels(similarities: ArrayLike, titles: Sequence[str], x: str, y: str) -> list[Panel]:
    """A panel per matrix of `similarities` (n, C, C), every so many channels labelled."""
    values = np.asarray(similarities, dtype=float)[:, :SHOWN, :SHOWN]
    # About four labels an axis, or they touch
    ticks = tuple((i, str(i)) for i in range(0, values.shape[-1], max(values.shape[-1] // 4, 1)))
    return [
        Panel((Matrix(rows=rows(matrix)),), Axis(x, ticks=ticks), Axis(y if i % 3 == 0 else "", ticks=ticks), title)
        for i, (matrix, title) in enumerate(zip(values, titles, strict=True))
    ]


def matrices(title: str, reading: str, panels: Sequence[Panel], columns: int, size: float) -> Chart:
    """Panels of `size` inches in a grid, with one scale for all of them."""
    grid = rows_of(panels, columns)
    inches = (1.6 + size * columns, 0.8 + (size + 0.25) * len(grid))
    return Chart(title, reading, grid, size=inches, scale=SCALE)


def rows(matrix: ArrayLike) -> tuple[tuple[float, ...], ...]:
    """A matrix as rows of plain floats."""
    return tuple(floats(row) for row in np.asarray(matrix, dtype=float))
