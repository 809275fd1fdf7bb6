"""The improvement figures as Plotly charts, with values under the pointer (improvement_figures.py draws them)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from src.analysis.report.charts import finish, translucent
from src.analysis.report.findings import LEFT
from src.analysis.report.improvement_figures import PRUNED, ticks
from src.analysis.report.selection import Selection
from src.analysis.report.style import GREY, baseline_label, colours, label

DASHES = ("dash", "dot", "dashdot")
MARGIN = 0.04
"""Of the range of accuracies, above and below what is drawn."""


def improvement_chart(selection: Selection, least: int = LEFT) -> go.Figure:
    """Mean truth of what is left until `least` are, by method; read as an improvement on the right."""
    figure = go.Figure()
    hover = "%{y:.2f} % (improvement %{customdata[0]:.2f}), %{customdata[1]} seed(s)"
    _methods(figure, selection.kept, ("mean", "low", "high"), ("improvement", "seeds"), hover, 100, least)
    _counted(figure, selection.counted, "mean", "%{y:.2f} % (improvement %{customdata[0]:.2f})", 100, least)
    finish(figure, PRUNED, "mean true accuracy, %", height=420)
    if selection.ends:
        _improvement_axis(figure, *(100 * end for end in selection.ends))
    return _scale(figure, selection.architectures, least)


def improvement_and_tau_chart(selection: Selection, least: int = LEFT) -> go.Figure:
    """Inter-choice Figure 3: above, the improvement as the predicted worst go; below, tau as the truly worst go."""
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.06)
    columns, shared = ("improvement", "improvement_low", "improvement_high"), {"row": 1, "col": 1}
    _methods(figure, selection.kept, columns, ("seeds",), "%{y:.3f}, %{customdata[0]} seed(s)", 1, least, **shared)
    _counted(figure, selection.counted, "improvement", "%{y:.3f}", 1, least, **shared)
    columns, below = ("tau", "tau_low", "tau_high"), {"row": 2, "col": 1, "showlegend": False}
    _methods(figure, selection.best, columns, ("seeds",), "%{y:.3f}, %{customdata[0]} seed(s)", 1, least, **below)
    finish(figure, "", "", height=560)
    figure.update_yaxes(title_text="improvement", row=1, col=1)
    figure.update_yaxes(title_text="Kendall's τ", row=2, col=1)
    figure.update_xaxes(title_text="architectures left", row=2, col=1)
    return _scale(figure, selection.architectures, least)


def _methods(
    figure: go.Figure,
    curves: Mapping[str, pd.DataFrame],
    columns: tuple[str, str, str],
    told: Sequence[str],
    hover: str,
    by: int,
    least: int,
    **place: Any,
) -> None:
    """A band and a line for each method; `told` are the columns that `hover` calls customdata."""
    mean, low, high = columns
    for method, colour in colours(curves).items():
        curve = curves[method][curves[method]["left"] >= least]
        band = {"mode": "none", "fill": "toself", "fillcolor": translucent(colour), "hoverinfo": "skip"}
        figure.add_scatter(
            x=[*curve["left"], *curve["left"][::-1]],
            y=(by * pd.concat([curve[high], curve[low][::-1]])).round(4).tolist(),
            legendgroup=method,
            **(band | place | {"showlegend": False}),
        )
        figure.add_scatter(
            x=curve["left"].tolist(),
            y=(by * curve[mean]).round(4).tolist(),
            customdata=curve[list(told)].round(4).to_numpy().tolist(),
            name=label(method),
            legendgroup=method,
            mode="lines",
            line={"color": colour, "width": 2.2},
            hovertemplate=hover,
            **place,
        )


def _counted(
    figure: go.Figure, curves: Mapping[str, pd.DataFrame], column: str, hover: str, by: int, least: int, **place: Any
) -> None:
    for (name, whole), dash in zip(curves.items(), DASHES, strict=False):
        curve = whole[whole["left"] >= least]
        figure.add_scatter(
            x=curve["left"].tolist(),
            y=(by * curve[column]).round(4).tolist(),
            customdata=curve[["improvement"]].round(4).to_numpy().tolist(),
            name=baseline_label(name),
            mode="lines",
            line={"color": GREY, "width": 1.3, "dash": dash},
            hovertemplate=hover,
            **place,
        )


def _improvement_axis(figure: go.Figure, zero: float, one: float) -> None:
    """A second scale on the right; both are held still, for the chart library would zoom them apart."""
    values = [value for trace in figure.data for value in trace.y or () if not math.isnan(value)]
    room = MARGIN * (max(values) - min(values)) or 1.0
    low, high = min(values) - room, max(values) + room
    figure.add_scatter(x=[None], y=[None], yaxis="y2", showlegend=False, hoverinfo="skip")  # no trace, no axis
    figure.update_layout(
        yaxis={"range": [low, high], "fixedrange": True},
        yaxis2={
            "range": [(low - zero) / (one - zero), (high - zero) / (one - zero)],
            "fixedrange": True,
            "overlaying": "y",
            "tickmode": "auto",
            "ticks": "outside",
            "side": "right",
            "showgrid": False,
            "zeroline": False,
            "title": {"text": "improvement"},
        },
        margin={"r": 60},
    )


def _scale(figure: go.Figure, n: int, least: int) -> go.Figure:
    found = ticks(n, least)
    return figure.update_xaxes(
        type="log",
        range=[math.log10(n), math.log10(least)],
        rangemode="normal",
        tickvals=found,
        ticktext=[f"{tick:,}" for tick in found],
    )
