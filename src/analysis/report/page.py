"""The pieces of one HTML page that needs no network: headings, tables, charts with values under the pointer."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

import pandas as pd
import plotly.io as pio
from plotly.offline import get_plotlyjs

from src.analysis.report import html
from src.analysis.report.chart import Chart

STYLE = Path(__file__).with_suffix(".css")
CHART_OPTIONS = {"displayModeBar": False, "responsive": True}
FIT = """<script>
addEventListener("load", () => document.querySelectorAll(".plotly-graph-div").forEach((c) => Plotly.Plots.resize(c)));
</script>"""
"""A chart is drawn before the browser has read the cards beside it, so at the wrong width; this corrects it."""


def document(title: str, body: Iterable[str], charts: bool = True) -> str:
    """The whole page; for charts their library is inlined once, 5 MB."""
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">',
        f"<style>\n{STYLE.read_text()}</style>" + (f"\n<script>{get_plotlyjs()}</script>" if charts else ""),
        f"</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>",
    ]
    return "\n".join([*head, *body, f"</main>\n{FIT if charts else ''}\n</body>\n</html>\n"])


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """Plain text; `kind` is a class of page.css: soft or warning."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def facts(pairs: Mapping[str, str]) -> str:
    """A list of names and values."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs.items()) + "</dl>"


def table(cells: pd.DataFrame, baselines: int = 0) -> str:
    """A table of texts; its last `baselines` rows are set apart."""
    # Baselines are the last rows, set apart by the style sheet
    first = len(cells) - baselines
    head = "".join(f"<th>{escape(str(name))}</th>" for name in cells.columns)
    rows = (
        f"<tr{' class=baseline' if i >= first else ''}>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>"
        for i, row in enumerate(cells.to_numpy().tolist())
    )
    body = "\n".join(rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def card(title: str, content: str, explanation: str = "", broad: bool = False) -> str:
    """A framed table or chart with its heading and a reading; a `broad` one takes a whole row of a grid."""
    below = paragraph(explanation, "soft") if explanation else ""
    kind = "card broad" if broad else "card"
    return f'<section class="{kind}">\n<h3>{escape(title)}</h3>\n{content}\n{below}\n</section>'


def grid(cards: Iterable[str]) -> str:
    """Cards side by side where the window is wide enough."""
    return '<div class="grid">\n' + "\n".join(cards) + "\n</div>"


def chart_card(chart: Chart, name: str) -> str:
    """An interactive chart in its card; `name` is unique on the page.

    A chart of several columns is moved sideways on screens too narrow for it.
    """
    figure, columns = html.draw(chart), len(chart.panels[0])
    drawn = pio.to_html(
        figure,
        config=CHART_OPTIONS,
        include_plotlyjs=False,
        full_html=False,
        div_id=name,
        default_height=f"{figure.layout.height}px",
    )
    # Several panels side by side need a whole row, and on narrow screens a scroll bar
    if columns == 1:
        return card(chart.title, str(drawn), chart.reading)
    least, most = 150 * columns, 130 * max(chart.size[0], 10)
    wide = f'<div class="wide"><div style="min-width: {least}px; max-width: {most:.0f}px">{drawn}</div></div>'
    return card(chart.title, wide, chart.reading, broad=True)


def picture_card(title: str, file: Path) -> str:
    """An SVG file in its card, as wide as the card at most."""
    data = base64.b64encode(file.read_bytes()).decode()
    return card(title, f'<img alt="{escape(title)}" style="max-width: 100%" src="data:image/svg+xml;base64,{data}">')


def folded(summary: str, content: str) -> str:
    """Content that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
