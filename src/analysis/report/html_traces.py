"""Series of a chart as Plotly traces."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from src.analysis.report.chart import Band, Bars, Line, Points

SYMBOLS = {"dot": "circle", "square": "square", "ring": "circle-open", "star": "star"}


def line_trace(series: Line, together: bool, listed: bool) -> go.Scatter:
    """A line, or steps that hold y until the next x; `listed` in the legend, under one pointer if `together`."""
    shape = "hv" if series.steps else "linear"
    return go.Scatter(
        x=numbers(series.x),
        y=numbers(series.y),
        mode="lines+markers" if series.marker else "lines",
        line={"color": series.colour, "width": 1.2 * series.width, "dash": series.dash, "shape": shape},
        marker={"size": 5, "symbol": SYMBOLS.get(series.marker)},
        **named(series, together, listed),
    )


def points_trace(series: Points, together: bool, listed: bool) -> go.Scatter:
    """Markers of one colour or of the scale's, with intervals where they are known."""
    marker: dict[str, Any] = {"size": 1.5 * series.size, "symbol": SYMBOLS.get(series.marker)}
    marker["opacity"] = series.opacity
    if isinstance(series.colour, str):
        marker["color"] = series.colour
    else:
        marker |= {"color": numbers(series.colour), "coloraxis": "coloraxis"}
    options = named(series, together, listed)
    if series.half:
        options["error_y"] = {"array": numbers(series.half), "thickness": 1.5, "width": 0}
    return go.Scatter(x=numbers(series.x), y=numbers(series.y), mode="markers", marker=marker, **options)


def band_trace(series: Band) -> go.Scatter:
    """The outline of a shade, there and back; it comes and goes with its line's entry in the legend."""
    red, green, blue = (int(series.colour[i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=numbers((*series.x, *series.x[::-1])),
        y=numbers((*series.high, *series.low[::-1])),
        legendgroup=series.group or None,
        showlegend=False,
        fill="toself",
        mode="none",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.13)",
        hoverinfo="skip",
    )


def bars_trace(series: Bars) -> go.Bar:
    """Bars of equal width between the edges."""
    edges = np.array(series.edges)
    return go.Bar(
        x=numbers((edges[1:] + edges[:-1]) / 2),
        y=numbers(series.heights),
        width=float(edges[1] - edges[0]),
        marker={"color": series.colour, "line": {"width": 0}},
        text=list(series.hover),
        textposition="none",  # the text is for the pointer alone
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def named(series: Line | Points, together: bool, listed: bool) -> dict[str, Any]:
    """Name, legend and hover texts of a trace."""
    group = series.group or series.name
    options: dict[str, Any] = {"name": series.name, "legendgroup": group or None, "showlegend": listed}
    if not series.hover:
        return options | {"hoverinfo": "skip"}
    extra = "" if together else f"<extra>{series.name}</extra>"
    return options | {"text": list(series.hover), "hovertemplate": "%{text}" + extra}


def numbers(values: Any) -> list[float | None]:
    """Values of 6 significant digits, which keeps the page small; None for nan, which JSON lacks."""
    return [None if np.isnan(value) else float(f"{value:.6g}") for value in values]
