"""The figures as Plotly charts, for the page: what analysis/report/figures.py draws, with values under the pointer.

Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from src.analysis.report.curves import lemma_curve
from src.analysis.report.figures import bin_edges
from src.analysis.report.style import GREY, GRID, INK, LEMMA_COLOURS, colours, label, order

LEGEND_MARK, LEGEND_ROW = 8, 64
"""Letters that an entry's line sample takes up in a legend, and letters in a row of it, half a page wide."""


def accuracy_chart(curves: Mapping[str, pd.DataFrame], x: str) -> go.Figure:
    """FairNAS Figure 1, top, against `x`: step or passes."""
    figure = go.Figure()
    for method, colour in colours(curves).items():
        curve = curves[method].assign(**{part: 100 * curves[method][part] for part in ("mean", "low", "high")})
        _band(figure, curve, x, method, colour)
        _line(figure, curve, x, method, colour, "%{y:.1f} % (paths: %{customdata[0]:.1f} to %{customdata[1]:.1f})")
    return finish(figure, "supernet steps" if x == "step" else "backward passes", "one-shot accuracy, %")


def spread_chart(curves: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Count spread against supernet steps; shades over seeds."""
    figure = go.Figure()
    for method, colour in colours(curves).items():
        _band(figure, curves[method], "step", method, colour)
        _line(figure, curves[method], "step", method, colour, "%{y:,.0f} (seeds: %{customdata[0]} to %{customdata[1]})")
    finish(figure, "supernet steps", "count spread within a layer")
    return figure.update_yaxes(rangemode="tozero")


def _line(figure: go.Figure, curve: pd.DataFrame, x: str, method: str, colour: str, hover: str) -> None:
    figure.add_scatter(
        x=curve[x].tolist(),
        y=curve["mean"].tolist(),
        customdata=curve[["low", "high", "seeds"]].to_numpy().tolist(),
        name=label(method),
        legendgroup=method,
        mode="lines",
        line={"color": colour, "width": 2.2},
        hovertemplate=hover + ", %{customdata[2]} seed(s)",
    )


def _band(figure: go.Figure, curve: pd.DataFrame, x: str, method: str, colour: str) -> None:
    """The area between low and high; it comes and goes with its line's entry in the legend."""
    figure.add_scatter(
        x=[*curve[x], *curve[x][::-1]],
        y=[*curve["high"], *curve["low"][::-1]],
        legendgroup=method,
        showlegend=False,
        fill="toself",
        mode="none",
        fillcolor=translucent(colour),
        hoverinfo="skip",
    )


def translucent(colour: str) -> str:
    """A shade's colour, 13 % of it."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.13)"


def histogram_chart(accuracies: Mapping[str, Sequence[float]]) -> go.Figure:
    """FairNAS Figure 1, bottom: a row per method over one axis, all seeds together."""
    shown = {method: 100 * np.asarray(values) for method, values in accuracies.items() if len(values)}
    rows = max(len(shown), 1)
    figure = make_subplots(rows, 1, shared_xaxes=True, shared_yaxes="all", vertical_spacing=0.06)
    edges = bin_edges(np.concatenate(list(shown.values()))) if shown else np.linspace(0, 100, 2)
    palette = colours(accuracies)
    for row, method in enumerate(order(shown), start=1):
        share = 100 * np.histogram(shown[method], edges)[0] / len(shown[method])
        figure.add_bar(
            x=((edges[1:] + edges[:-1]) / 2).tolist(),
            y=share.tolist(),
            width=float(edges[1] - edges[0]),
            name=f"{label(method)}, mean {shown[method].mean():.1f} %",
            marker={"color": palette[method], "line": {"width": 0}},
            hovertemplate="about %{x:.1f} %: %{y:.1f} % of the paths<extra></extra>",
            row=row,
            col=1,
        )
    finish(figure, "", "", height=150 + 95 * rows, closest=True)
    figure.update_yaxes(title_text="paths, %")
    return figure.update_xaxes(title_text="one-shot accuracy, %", row=rows, col=1)


def scatter_chart(points: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One-shot accuracy against the ground truth, all methods in one chart; the legend hides and shows them."""
    figure = go.Figure()
    for method, colour in colours(points).items():
        table = points[method]
        figure.add_scatter(
            x=(100 * table["truth"]).tolist(),
            y=(100 * table["accuracy"]).tolist(),
            text=table["arch"].tolist(),
            name=label(method),
            mode="markers",
            marker={"color": colour, "size": 6, "opacity": 0.65},
            hovertemplate="%{text}<br>alone %{x:.1f} %, one-shot %{y:.1f} %",
        )
    return finish(figure, "accuracy when trained alone, %", "one-shot accuracy, %", height=460, closest=True)


def lemma_chart(choices: Sequence[int] = (2, 3, 6)) -> go.Figure:
    """FairNAS Figure 4, with f(2, 20) marked."""
    figure = go.Figure()
    for m, colour in zip(choices, LEMMA_COLOURS, strict=False):
        curve = lemma_curve(m)
        figure.add_scatter(
            x=curve["n"].tolist(),
            y=curve["f"].tolist(),
            name=f"m = {m}",
            mode="lines+markers",
            line={"color": colour, "width": 1.8},
            marker={"size": 4},
            hovertemplate=f"f({m}, %{{x}}) = %{{y:.4f}}<extra></extra>",
        )
    marked = float(lemma_curve(2, 20)["f"].iloc[-1])
    figure.add_annotation(x=20, y=marked, text=f"f(2, 20) = {marked:.3f}", ax=60, ay=-50, font={"color": INK})
    return finish(figure, "n, times the layer is trained", "f(m, n), chance of equal counts", closest=True)


def finish(figure: go.Figure, x: str, y: str, height: int = 400, closest: bool = False) -> go.Figure:
    """Labels, a light grid and one legend above the chart; unless `closest`, all methods under one pointer.

    A legend of several rows adds to `height`, so that the chart itself keeps its size.
    """
    names = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    rows = sum(len(name) + LEGEND_MARK for name in names) // LEGEND_ROW
    figure.update_layout(
        template="none",
        height=height + 24 * rows,
        margin={"l": 60, "r": 15, "t": 20, "b": 50},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        hovermode="closest" if closest else "x unified",
    )
    figure.update_xaxes(
        title_text=x, gridcolor=GRID, zeroline=False, linecolor=GREY, rangemode="tozero" if not closest else "normal"
    )
    return figure.update_yaxes(title_text=y, gridcolor=GRID, zeroline=False, linecolor=GREY)
