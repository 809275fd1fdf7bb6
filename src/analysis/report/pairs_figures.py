"""Predictions of one seed against those of another, drawn twice: Matplotlib for files, Plotly for the page.

Inter-choice weights, Figure 10. Accuracies come in as fractions and are drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from src.analysis.report.agreement import Agreement
from src.analysis.report.charts import finish as finish_chart
from src.analysis.report.figures import finish
from src.analysis.report.style import GREY, INK, colours, label

MARKS = {"tau": "τ", "pearson": "r", "spearman": "ρ"}


def pairs_figure(agreements: Mapping[str, Agreement], palette: Mapping[str, str] | None = None) -> Figure:
    """A row per method, a panel per pair of seeds, a dot per architecture; the line is where both predict the same."""
    palette, rows = palette or colours(agreements), max(len(agreements), 1)
    columns = max((len(agreement.pairs) for agreement in agreements.values()), default=1)
    figure = Figure(figsize=(0.6 + 2.3 * columns, 0.4 + 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_visible(False)
    for (method, agreement), line in zip(agreements.items(), panels, strict=False):
        ends = _ends(agreement.predictions)
        for axes, (x, y, found) in zip(line, agreement.pairs, strict=False):
            a, b = found["seeds"]
            axes.set_visible(True)
            axes.plot(ends, ends, color=GREY, linewidth=0.8, zorder=1)
            axes.scatter(100 * x, 100 * y, s=8, color=palette[method], alpha=0.65, linewidths=0, zorder=2)
            axes.set(xlim=ends, ylim=ends, aspect="equal")
            heading = label(method) if axes is line[0] else ""
            axes.set_title(f"{heading}\n{correlations(found)}", loc="left", fontsize=9, color=INK)
            finish(axes, f"seed {a}", f"seed {b}")
    figure.supxlabel("one-shot accuracy of one seed against another's, %", fontsize=10, color=INK)
    return figure


def pairs_chart(agreements: Mapping[str, Agreement], palette: Mapping[str, str] | None = None) -> go.Figure:
    """The same with a column per method, as pages are wider than high."""
    palette, columns = palette or colours(agreements), max(len(agreements), 1)
    rows = max((len(agreement.pairs) for agreement in agreements.values()), default=1)
    figure = make_subplots(rows, columns, vertical_spacing=0.33 / rows, horizontal_spacing=0.3 / columns)
    finish_chart(figure, "", "", height=100 + 265 * rows, closest=True)
    for column, (method, agreement) in enumerate(agreements.items(), start=1):
        ends = _ends(agreement.predictions)
        for row, (x, y, found) in enumerate(agreement.pairs, start=1):
            _panel(figure, x, y, found, palette[method], {"row": row, "col": column})
            figure.update_xaxes(range=ends, row=row, col=column)
            figure.update_yaxes(range=ends, row=row, col=column)
            heading = f"<b>{label(method).replace(', ', ',<br>')}</b><br>" if row == 1 else ""
            _title(figure, heading + correlations(found, "<br>"), row, column)
    figure.update_layout(showlegend=False, margin={"t": 90, "l": 50, "r": 10})
    figure.update_annotations(font_size=11)
    return figure.update_xaxes(title_standoff=4, nticks=4).update_yaxes(title_standoff=4, nticks=4)


def _panel(
    figure: go.Figure, x: pd.Series, y: pd.Series, found: Mapping[str, Any], colour: str, place: dict[str, int]
) -> None:
    a, b = found["seeds"]
    figure.add_scatter(
        x=(100 * x).round(3).tolist(),
        y=(100 * y).round(3).tolist(),
        text=x.index.tolist(),
        mode="markers",
        marker={"color": colour, "size": 4, "opacity": 0.6},
        hovertemplate=f"%{{text}}<br>seed {a}: %{{x:.1f}} %, seed {b}: %{{y:.1f}} %<extra></extra>",
        **place,
    )
    figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line={"color": GREY, "width": 1}, layer="below", **place)
    figure.update_xaxes(title_text=f"seed {a}, %", title_font_size=11, tickfont_size=10, **place)
    figure.update_yaxes(title_text=f"seed {b}, %", title_font_size=11, tickfont_size=10, **place)


def _title(figure: go.Figure, text: str, row: int, column: int) -> None:
    """Above the left corner of a panel."""
    panel = figure.get_subplot(row, column)
    figure.add_annotation(
        text=text,
        x=panel.xaxis.domain[0],
        y=panel.yaxis.domain[1],
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        align="left",
        showarrow=False,
    )


def correlations(found: Mapping[str, Any], end: str = ", ") -> str:
    """`τ 0.76, r 0.95, ρ 0.93`, with a dash for what is undefined; `end` comes after tau."""
    tau, *others = (f"{mark} {'–' if found[key] is None else f'{found[key]:.2f}'}" for key, mark in MARKS.items())
    return f"{tau}{end}{', '.join(others)}"


def _ends(predictions: pd.DataFrame) -> tuple[float, float]:
    """From below the lowest to above the highest prediction of any seed, in percent."""
    values = 100 * predictions.dropna().to_numpy(float)
    room = 0.04 * float(np.ptp(values)) or 0.5
    return float(values.min()) - room, float(values.max()) + room
