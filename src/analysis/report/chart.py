"""A figure described once: its panels, axes, series and how to read it. png.py and html.py draw the same description.

Values are in the units of their axes: percent, millions. A hover text belongs to one point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

INK, GREY, GRID = "#1F2933", "#6B7785", "#E3E8EE"
"""Colours of text, of axes and of the grid."""

Values = tuple[float, ...]
Dash = Literal["solid", "dash", "dot", "dashdot"]
Marker = Literal["", "dot", "square", "ring", "star"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """Points joined by a line, or by steps that hold y until the next x."""

    x: Values
    y: Values
    colour: str
    name: str = ""
    """The legend's entry; a name that several panels share is listed once, "" never."""
    group: str = ""
    """Series that a click on the legend hides together."""
    hover: tuple[str, ...] = ()
    width: float = 1.8
    dash: Dash = "solid"
    marker: Marker = ""
    steps: bool = False
    behind: bool = False
    """Drawn below the other series."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """The area between two curves, a shade of its colour."""

    x: Values
    low: Values
    high: Values
    colour: str
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Points:
    """Markers; with `half`, 95 % intervals of y as bars of so much to each side."""

    x: Values
    y: Values
    colour: str | Values
    """One for all, or a value for each on the chart's colour scale."""
    name: str = ""
    group: str = ""
    hover: tuple[str, ...] = ()
    half: Values = ()
    marker: Marker = "dot"
    size: float = 3.0
    """Diameter in points."""
    opacity: float = 0.65


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A histogram: n heights between n + 1 edges."""

    edges: Values
    heights: Values
    colour: str
    hover: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Cells coloured by the chart's scale, row 0 at the top; `numbers` writes each value into its cell."""

    rows: tuple[Values, ...]
    numbers: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A straight line across the panel: at one x, at one y, or where both are equal."""

    across: Literal["x", "y", "diagonal"]
    at: float = 0.0
    colour: str = INK
    dash: Dash = "solid"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A text at (text_x, text_y) that points at (x, y)."""

    x: float
    y: float
    text: str
    text_x: float
    text_y: float


Series = Line | Band | Points | Bars | Matrix | Rule | Note


@dataclass(frozen=True)
class Axis:
    """One axis of a panel; an end of `ends` that is None lies where the data end."""

    label: str = ""
    ends: tuple[float | None, float | None] = (None, None)
    log: bool = False
    integer: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None
    """Places and texts; None: round numbers, (): none at all."""
    upright: bool = False
    """Texts of an x axis that are turned by 90 degrees."""


@dataclass(frozen=True)
class SecondScale:
    """The same y read on another scale at the right: (y - zero) / (one - zero)."""

    label: str
    zero: float
    one: float


@dataclass(frozen=True)
class Panel:
    """One pair of axes with what is drawn between them."""

    series: tuple[Series, ...]
    x: Axis = Axis()
    y: Axis = Axis()
    title: str = ""
    second: SecondScale | None = None
    square: bool = False
    """A unit of x is as long as one of y."""


@dataclass(frozen=True)
class ColourScale:
    """Colours of values from `low` to `high`, evenly spaced `stops` between them."""

    label: str
    low: float
    high: float
    stops: tuple[str, ...]
    ticks: Values | None = None

    def colour(self, value: float) -> str:
        """The colour of a value as #rrggbb, interpolated between the two stops beside it."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        channels = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in self.stops], dtype=float)
        place = min(max(share, 0.0), 1.0) * (len(self.stops) - 1)
        mixed = [np.interp(place, range(len(self.stops)), channel) for channel in channels.T]
        return "#" + "".join(f"{round(float(channel)):02x}" for channel in mixed)


@dataclass(frozen=True)
class Chart:
    """A whole figure: rows of panels, None where a row has fewer than the others."""

    title: str
    reading: str
    """A caption: source, and what lines, shades and dots mean."""
    panels: tuple[tuple[Panel | None, ...], ...]
    size: tuple[float, float] = (6.5, 3.8)
    """Width and height in inches."""
    widths: Values = ()
    """Relative widths of the columns; () if they are equal."""
    share_x: bool = False
    share_y: bool = False
    x_label: str = ""
    y_label: str = ""
    """Labels that all panels have in common."""
    scale: ColourScale | None = None
    together: bool = False
    """The pointer shows the values of all lines at one x, not those of the nearest point."""

    @property
    def all_panels(self) -> list[Panel]:
        """The panels without the gaps, row by row."""
        return [panel for row in self.panels for panel in row if panel is not None]


def floats(values: ArrayLike, by: float = 1.0) -> Values:
    """Numbers (n,) times `by` as plain floats."""
    return tuple((by * np.asarray(values, dtype=float)).tolist())


def rows_of(panels: Sequence[Panel], columns: int) -> tuple[tuple[Panel | None, ...], ...]:
    """Panels laid out row by row, the last row filled up with gaps; at least one panel, be it empty."""
    # An empty figure still has one pair of axes
    filled: list[Panel | None] = list(panels) or [Panel(())]
    filled += [None] * (-len(filled) % columns)
    return tuple(tuple(filled[i : i + columns]) for i in range(0, len(filled), columns))


def legend_entries(chart: Chart) -> dict[str, Line | Points]:
    """The series that the legend lists, the first of each name."""
    # Empty series have nothing to be named
    named: Iterable[Line | Points] = (
        series
        for panel in chart.all_panels
        for series in panel.series
        if isinstance(series, Line | Points) and series.name and len(series.x)
    )
    entries: dict[str, Line | Points] = {}
    for series in named:
        entries.setdefault(series.name, series)
    return entries
