"""Charts as Plotly figures for the page, with values under the pointer."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from src.analysis.report.chart import (
    GREY,
    GRID,
    INK,
    Axis,
    Band,
    Bars,
    Chart,
    Line,
    Matrix,
    Note,
    Panel,
    Points,
    Rule,
    Series,
    legend_entries,
)
from src.analysis.report.html_traces import band_trace, bars_trace, line_trace, numbers, points_trace

LEGEND_MARK, LEGEND_ROW = 8, 64
"""Letters that an entry's line sample takes up in a legend, and letters in a row of it, half a page wide."""
PIXELS = 100
"""Height of an inch of the PNG on the page."""
LETTER, LINE, HALF_PAGE = 7.5, 18, 380
"""Pixels: width of a letter of an axis title, height of a line of it, width of a panel of half a page."""


def draw(chart: Chart) -> go.Figure:
    """The chart as a Plotly figure, as wide as its place on the page."""
    rows, columns = len(chart.panels), len(chart.panels[0])
    figure = make_subplots(
        rows,
        columns,
        shared_xaxes="all" if chart.share_x else False,
        shared_yaxes=("all" if columns == 1 else True) if chart.share_y else False,
        vertical_spacing=vertical_spacing(chart),
        horizontal_spacing=(0.1 if chart.share_y else 0.25) / columns,
        column_widths=list(chart.widths) or None,
        # A gap gets no axes at all: an empty panel would be drawn with its frame
        specs=[[None if panel is None else {} for panel in row] for row in chart.panels],
        x_title=chart.x_label or None,
        y_title=chart.y_label or None,
    )
    # A name that several panels share is listed once, by its first series
    listed = set(map(id, legend_entries(chart).values()))
    for i, row in enumerate(chart.panels, start=1):
        for j, panel in enumerate(row, start=1):
            if panel is None:
                continue
            for series in panel.series:
                add_series(figure, series, {"row": i, "col": j}, chart.together, id(series) in listed)
            is_lowest = i == rows or chart.panels[i][j - 1] is None
            set_axes(figure, panel, {"row": i, "col": j}, labelled=is_lowest or not chart.share_x)
    wrap_titles(figure, chart)
    add_layout(figure, chart)
    return figure


def vertical_spacing(chart: Chart) -> float:
    """Share of the height between two rows of panels: room for tick labels, or for the titles of panels."""
    rows = len(chart.panels)
    least = (0.08 if chart.share_x else 0.3) / rows
    titled = any(panel.title for panel in chart.all_panels)
    return max(least, 1.5 * LINE / (PIXELS * chart.size[1])) if titled and rows > 1 else least


def wrap_titles(figure: go.Figure, chart: Chart) -> None:
    """Break titles of axes that are longer than their axis; Plotly would cut them off at the edge of the chart."""
    height = PIXELS * chart.size[1] / len(chart.panels)
    if len(chart.panels[0]) == 1:
        figure.for_each_xaxis(lambda axis: axis.update(title_text=wrapped(axis.title.text, HALF_PAGE)))
    figure.for_each_yaxis(lambda axis: axis.update(title_text=wrapped(axis.title.text, height)))


def wrapped(title: str | None, pixels: float) -> str:
    """The title in lines of at most so many pixels."""
    return "<br>".join(textwrap.wrap(title or "", max(int(pixels / LETTER), 12), break_on_hyphens=False))


def add_layout(figure: go.Figure, chart: Chart) -> None:
    """Size, fonts, the colour scale and one legend above the chart, whose rows add to the height."""
    names = list(legend_entries(chart))
    # Plotly has no legend outside the panels: guess its rows, and make room for them above
    legend_rows = -(-sum(len(name) + LEGEND_MARK for name in names) // LEGEND_ROW)
    titled = any(panel.title for panel in chart.all_panels)
    extra_lines = max(((axis.title.text or "").count("<br>") for axis in figure.select_xaxes()), default=0)
    figure.update_layout(
        template="none",
        height=round(PIXELS * chart.size[1]) + 24 * legend_rows + LINE * extra_lines,
        # Room for what Plotly draws outside the panels: common labels, the second scale, the legend, titles
        margin={
            "l": 70 if chart.y_label else 60,
            "r": 60 if any(panel.second for panel in chart.all_panels) else 15,
            "t": 20 + 24 * legend_rows + (20 if titled else 0),
            "b": (65 if chart.x_label else 50) + LINE * extra_lines,
        },
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        hovermode="x unified" if chart.together else "closest",
        bargap=0,
    )
    figure.update_annotations(font_size=12)
    # One colour scale for all traces that name `coloraxis`
    if chart.scale:
        stops = [[i / (len(chart.scale.stops) - 1), colour] for i, colour in enumerate(chart.scale.stops)]
        bar = {"title": {"text": chart.scale.label, "side": "right"}, "thickness": 14}
        bar |= {"tickvals": list(chart.scale.ticks)} if chart.scale.ticks else {}
        figure.update_layout(
            coloraxis={"colorscale": stops, "cmin": chart.scale.low, "cmax": chart.scale.high, "colorbar": bar}
        )


def set_axes(figure: go.Figure, panel: Panel, place: dict[str, int], labelled: bool) -> None:
    """Labels, ends, ticks and grid of a panel's axes, its title, and the second scale at the right."""
    is_matrix = any(isinstance(series, Matrix) for series in panel.series)
    # A light grid and nothing else, as in the PNG
    common = {"gridcolor": GRID, "zeroline": False, "linecolor": GREY, "showgrid": not is_matrix, "title_standoff": 4}
    figure.update_xaxes(**common, **axis_options(panel.x), **({"showticklabels": True} if labelled else {}), **place)
    figure.update_yaxes(**common, **axis_options(panel.y), **place)
    subplot = figure.get_subplot(**place)
    y_name = subplot.yaxis.plotly_name.replace("axis", "")
    if is_matrix:
        figure.update_yaxes(autorange="reversed", **place)
    # Square cells: shrink the panel, not its range of values
    if is_matrix or panel.square:
        figure.update_xaxes(constrain="domain", **place)
        figure.update_yaxes(
            scaleanchor=subplot.xaxis.plotly_name.replace("axis", ""), scaleratio=1, constrain="domain", **place
        )
    # Plotly has no titles of panels but those of the whole grid: write one above the left corner
    if panel.title:
        corner = {"xref": f"{subplot.xaxis.plotly_name.replace('axis', '')} domain", "yref": f"{y_name} domain"}
        text = panel.title.replace("\n", "<br>")
        sides = {"xanchor": "left", "yanchor": "bottom", "align": "left", "showarrow": False}
        figure.add_annotation(text=text, x=0, y=1, **corner, **sides)
    if panel.second:
        add_second_scale(figure, panel, y_name)


def axis_options(axis: Axis) -> dict[str, Any]:
    """An axis in Plotly's words; the ends of a logarithmic one are powers of ten."""
    options: dict[str, Any] = {"title_text": axis.label}
    if axis.log:
        options["type"] = "log"
    if axis.ends != (None, None):
        ends = [end if end is None or not axis.log else float(np.log10(end)) for end in axis.ends]
        options["range"] = ends
    if axis.ticks is not None:
        options |= {"tickvals": [place for place, _ in axis.ticks], "ticktext": [text for _, text in axis.ticks]}
    elif axis.integer:
        options["tickformat"] = ",d"
    return options


def add_second_scale(figure: go.Figure, panel: Panel, y_name: str) -> None:
    """A second scale at the right; both are held still, for Plotly would zoom them apart."""
    assert panel.second is not None
    zero, span = panel.second.zero, panel.second.one - panel.second.zero
    ends = [end for end in panel.y.ends if end is not None]
    # The axis is numbered after those of the panels, and needs a trace of its own to be drawn
    number = sum(1 for key in figure.layout if key.startswith("yaxis")) + 1
    figure.add_scatter(x=[None], y=[None], yaxis=f"y{number}", showlegend=False, hoverinfo="skip")
    right = {
        "range": [(end - zero) / span for end in ends],
        "fixedrange": True,
        "overlaying": y_name,
        "tickmode": "auto",
        "ticks": "outside",
        "side": "right",
        "showgrid": False,
        "zeroline": False,
        "title": {"text": panel.second.label},
    }
    figure.update_layout({f"yaxis{number}": right, y_name.replace("y", "yaxis"): {"fixedrange": True}})


def add_series(figure: go.Figure, series: Series, place: dict[str, int], together: bool, listed: bool) -> None:
    """One series as a trace, a shape or an annotation of the panel at `place`."""
    match series:
        case Line():
            figure.add_trace(line_trace(series, together, listed), **place)
        case Points():
            figure.add_trace(points_trace(series, together, listed), **place)
        case Band():
            figure.add_trace(band_trace(series), **place)
        case Bars():
            figure.add_trace(bars_trace(series), **place)
        case Matrix():
            cells = [numbers(row) for row in series.rows]
            texts = {"texttemplate": "%{z:.2f}" if series.numbers else None}
            hover = "%{y}, %{x}: %{z:.3f}<extra></extra>"
            figure.add_heatmap(z=cells, coloraxis="coloraxis", hovertemplate=hover, **texts, **place)
        case Rule():
            line = {"color": series.colour, "width": 1, "dash": series.dash}
            if series.across == "diagonal":
                # Long enough for percentages; the axes' own ends cut it off
                figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line=line, layer="below", **place)
            elif series.across == "x":
                figure.add_vline(series.at, line=line, **place)
            else:
                figure.add_hline(series.at, line=line, **place)
        case Note():
            tail = {"ax": series.text_x, "ay": series.text_y, "axref": "x", "ayref": "y"}
            figure.add_annotation(x=series.x, y=series.y, text=series.text, **tail, showarrow=True, arrowhead=0)
