"""Charts as Matplotlib figures and PNG files; no global state of pyplot is touched."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from src.analysis.report.chart import (
    GREY,
    GRID,
    INK,
    Axis,
    Band,
    Bars,
    Chart,
    ColourScale,
    Line,
    Matrix,
    Note,
    Panel,
    Points,
    Rule,
    Series,
    legend_entries,
)
from src.runtime.run_folder import replace_file

DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1.5, 1.5)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
}
MARKERS = {"": "None", "dot": "o", "square": "s", "ring": "o", "star": "*"}


def save(chart: Chart, path: Path) -> Path:
    """Write a PNG of 150 dots per inch, with title and reading as its metadata; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {"Title": chart.title, "Description": chart.reading}
    content = io.BytesIO()
    draw(chart).savefig(content, format="png", dpi=150, facecolor="white", metadata=texts)
    replace_file(path, content.getbuffer())
    return path


def draw(chart: Chart) -> Figure:
    """The chart as a Matplotlib figure, its axes row by row; gaps are invisible axes."""
    # Figure, not pyplot: it keeps no list of open figures, so nothing has to be closed
    figure = Figure(figsize=chart.size, layout="constrained")
    grid = figure.subplots(
        len(chart.panels),
        len(chart.panels[0]),
        sharex=chart.share_x,
        sharey=chart.share_y,
        squeeze=False,
        width_ratios=chart.widths or None,
    )
    for i, row in enumerate(chart.panels):
        for j, panel in enumerate(row):
            if panel is None:
                grid[i, j].set_visible(False)
                continue
            draw_panel(grid[i, j], panel, chart.scale)
            # Matplotlib labels the last row alone, but the panel below may be a gap
            if chart.share_x and (i + 1 == len(chart.panels) or chart.panels[i + 1][j] is None):
                grid[i, j].tick_params(labelbottom=True)
    # Labels and scales that all panels have in common
    if chart.x_label:
        figure.supxlabel(chart.x_label, fontsize=10, color=INK)
    if chart.y_label:
        figure.supylabel(chart.y_label, fontsize=10, color=INK)
    add_legend(figure, chart)
    if chart.scale:
        mapped = ScalarMappable(Normalize(chart.scale.low, chart.scale.high), colour_map(chart.scale))
        shown = [axes for axes in grid.flat if axes.get_visible()]
        bar = figure.colorbar(mapped, ax=shown, pad=0.01, aspect=30, ticks=chart.scale.ticks)
        bar.set_label(chart.scale.label, color=INK, fontsize=9)
        bar.ax.tick_params(colors=GREY, labelsize=8, length=0)
        bar.outline.set_visible(False)
    return figure


def colour_map(scale: ColourScale) -> Colormap:
    """The scale for Matplotlib."""
    return LinearSegmentedColormap.from_list(scale.label, list(scale.stops))


def add_legend(figure: Figure, chart: Chart) -> None:
    """One legend above the panels, where it covers no curve, with as many columns as fit."""
    names = list(legend_entries(chart))
    if not names:
        return
    # A name that several panels share is listed once
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    # Inches of an entry: its line sample, and about 0.075 a letter
    inches = 0.6 + 0.075 * max(map(len, names))
    columns = max(min(int(figure.get_figwidth() / inches), len(names)), 1)
    figure.legend([handles[name] for name in names], names, loc="outside upper left", ncols=columns, frameon=False)


def draw_panel(axes: Axes, panel: Panel, scale: ColourScale | None) -> None:
    """Series in their order, then axes with no more lines than needed to read values off."""
    for order, series in enumerate(panel.series):
        draw_series(axes, series, scale, 2 + order / 100)
    # Matrices have a frame and no grid, all other panels a grid and no frame
    is_matrix = any(isinstance(series, Matrix) for series in panel.series)
    axes.set_title(panel.title, loc="left", fontsize=9, color=INK)
    axes.set_xlabel(panel.x.label, color=INK, fontsize=9 if is_matrix else None)
    axes.set_ylabel(panel.y.label, color=INK, fontsize=9 if is_matrix else None)
    axes.tick_params(colors=GREY, labelsize=8 if is_matrix else 9)
    if is_matrix:
        axes.tick_params(length=0)
        axes.spines[:].set_color(GRID)
    else:
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
    # Ends come after the series, which would move them
    set_scale(axes, "x", panel.x)
    set_scale(axes, "y", panel.y)
    if panel.square:
        axes.set_aspect("equal")
    if panel.second:
        zero, span = panel.second.zero, panel.second.one - panel.second.zero

        def to_second(y: Any) -> Any:
            return (y - zero) / span

        def to_first(second: Any) -> Any:
            return zero + second * span

        right = axes.secondary_yaxis("right", functions=(to_second, to_first))
        right.set_ylabel(panel.second.label, color=INK)
        right.tick_params(colors=GREY, labelsize=9)
        right.spines["right"].set_color(GREY)


def set_scale(axes: Axes, which: Literal["x", "y"], axis: Axis) -> None:
    """Ends, ticks and kind of the x or y axis."""
    drawn = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        axes.set(**{f"{which}scale": "log"})
        drawn.set_minor_locator(NullLocator())  # or Matplotlib labels 2, 3, 4 between our ticks
    if axis.ticks is not None:
        drawn.set_ticks([place for place, _ in axis.ticks], [text for _, text in axis.ticks])
        axes.tick_params(axis=which, rotation=90 if axis.upright else 0)
    elif axis.integer:
        drawn.set_major_locator(MaxNLocator(integer=True))
    if axis.ends != (None, None):
        axes.set(**{f"{which}lim": axis.ends})


def draw_series(axes: Axes, series: Series, scale: ColourScale | None, zorder: float) -> None:
    """One series onto one pair of axes."""
    match series:
        case Line():
            axes.plot(
                series.x,
                series.y,
                color=series.colour,
                linewidth=series.width,
                linestyle=DASHES[series.dash],
                marker=MARKERS[series.marker],
                markersize=4,
                drawstyle="steps-post" if series.steps else "default",
                zorder=1.5 if series.behind else zorder,
                label=series.name or "_",
            )
        case Band():
            axes.fill_between(series.x, series.low, series.high, color=series.colour, alpha=0.12, linewidth=0)
        case Points():
            draw_points(axes, series, scale, zorder)
        case Bars():
            widths = np.diff(series.edges)
            axes.bar(series.edges[:-1], series.heights, widths, align="edge", color=series.colour, alpha=0.85)
        case Matrix():
            values = np.array(series.rows)
            assert scale is not None, "a matrix needs the chart's colour scale"
            axes.imshow(values, cmap=colour_map(scale), vmin=scale.low, vmax=scale.high, interpolation="nearest")
            for (row, column), value in np.ndenumerate(values) if series.numbers else ():
                colour = "white" if abs(value) > 0.4 else INK
                # White on the dark ends of the scale
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=colour)
        case Rule():
            style: dict[str, Any] = {"color": series.colour, "linewidth": 0.9, "linestyle": DASHES[series.dash]}
            if series.across == "diagonal":
                axes.axline((0, 0), slope=1, zorder=1, **style)
            elif series.across == "x":
                axes.axvline(series.at, **style)
            else:
                axes.axhline(series.at, **style)
        case Note():
            place, text_place = (series.x, series.y), (series.text_x, series.text_y)
            axes.annotate(series.text, place, text_place, color=INK, arrowprops={"arrowstyle": "-"})


def draw_points(axes: Axes, points: Points, scale: ColourScale | None, zorder: float) -> None:
    """Markers of one colour or of the scale's, rings, or means with their intervals."""
    # Means with their intervals, in one call of Matplotlib
    if points.half:
        style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": points.size}
        axes.errorbar(points.x, points.y, points.half, color=points.colour, zorder=zorder, **style)
        return
    # One colour for all of them, or each value's own on the chart's scale
    ring = points.marker == "ring"
    colours: dict[str, Any]
    if isinstance(points.colour, str):
        colours = {"facecolors": "none" if ring else points.colour, "edgecolors": points.colour if ring else "none"}
    else:
        assert scale is not None, "values as colours need the chart's colour scale"
        colours = {"c": points.colour, "cmap": colour_map(scale), "norm": Normalize(scale.low, scale.high)}
    axes.scatter(
        points.x,
        points.y,
        s=points.size**2,
        marker=MARKERS[points.marker],
        linewidths=0.8 if ring else 0,
        alpha=points.opacity,
        zorder=zorder,
        label=points.name or "_",
        **colours,
    )
