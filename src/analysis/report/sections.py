"""What the report page says: a header, then tables and charts of each comparison, then Lemma 1 and all runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from src.analysis.report import charts, curves, page
from src.analysis.report.findings import protocols
from src.analysis.report.groups import Group
from src.analysis.report.selection_sections import improvement_cards, pairs_card, small_tables
from src.analysis.report.style import PROTOCOLS, label, order
from src.analysis.report.tables import long_rows, method_rows
from src.analysis.report.wording import budget_statement, method_table, warnings

TABLE_NOTE = (
    "FairNAS Table 3. Figures are means over seeds, ± their standard deviation over seeds. The interval of a method is "
    "a 95 % t interval of its mean over seeds; that of a count, or of a single seed, is a bootstrap over "
    "architectures. "
    "τ is Kendall's tau-b between one-shot accuracy and the accuracy when trained alone; the noise ceiling is that of "
    "one half of the truth's own runs against the other. The improvement is how far the mean truth of the ten "
    "predicted best lies from that of all, 0, towards the best of all, 1."
)
CURVE_NOTE = (
    "FairNAS Figure 1, top. Mean one-shot accuracy of {paths} fixed paths on held-out images ({bn}). "
    "Line: mean over seeds. Shade: one standard deviation over paths, its mean over seeds."
)
PASSES_NOTE = (
    "The same curves over what they cost. A step of strict fairness makes one backward pass for each choice of a "
    "layer, a step of SPOS makes one: which method is ahead may change from one axis to the other."
)
HISTOGRAM_NOTE = (
    "FairNAS Figure 1, bottom. One-shot accuracies of the scored paths, all seeds together ({bn}). "
    "A tail on the left is made of paths that the supernet serves badly."
)
SCATTER_NOTE = (
    "As FairNAS Figure 8. A dot is an architecture, its one-shot accuracy the mean over seeds ({bn}). A supernet that "
    "ranks well gives a rising line; τ in the table is that of single seeds. A click in the legend hides a method."
)
SPREAD_NOTE = (
    "How much more often the most trained choice of a layer was trained than the least trained one, in the least even "
    "layer. Strict fairness keeps it at 0 where all layers have equally many choices (Definition 3); under uniform "
    "draws it grows with the root of the steps. Line: mean over seeds. Shade: lowest to highest seed."
)
LEMMA_NOTE = (
    "FairNAS Figure 4. The chance that uniform sampling has trained all m choices of a layer equally often after n "
    "draws: below 0.2 for two choices after 20 draws, and falling to 0."
)


def header(groups: Sequence[Group], commits: Mapping[str, int], bn: str) -> list[str]:
    """What was compared, from which code, how far the runs are."""
    runs = [run for group in groups for run in group.runs]
    finished = sum(run.finished for run in runs)
    methods = order({method for group in groups for method in group.methods})
    code = ", ".join(f"{commit[:10]} ({count} runs)" for commit, count in commits.items()) or "unknown"
    listed = {
        "Compared": "; ".join(map(label, methods)),
        **({"On": "; ".join(group.title for group in groups)} if len(groups) > 1 else {}),
        "Runs": f"{finished} finished, {len(runs) - finished} running or broken off",
        "Commit": code + (", with uncommitted changes" if any(run.dirty for run in runs) else ""),
        "Scores": f"{bn}: {PROTOCOLS[bn]}",
    }
    mixed = [page.paragraph("The runs come from different commits.", "warning")] if len(commits) > 1 else []
    return [page.facts(listed), *mixed]


def comparison(group: Group, bn: str, number: int, also: Sequence[str] = ()) -> list[str]:
    """Tables and charts of one group; `number` tells its charts from other groups', cards in `also` end them."""
    return [
        page.paragraph(budget_statement(group)),
        *(page.paragraph(text, "warning") for text in warnings(group)),
        *_tables(group, bn),
        *small_tables(group, bn),
        page.grid([*_curves(group, number), *improvement_cards(group, bn, number), *_scored(group, bn, number), *also]),
        *pairs_card(group, bn, number),
    ]


def _tables(group: Group, bn: str) -> list[str]:
    """The table under `bn` in full, then those of the other protocols."""
    others = [other for other in protocols(group.runs) if other != bn]
    return [_table(group, bn, TABLE_NOTE, whole=True), *(_table(group, other, "", whole=False) for other in others)]


def _table(group: Group, bn: str, note: str, whole: bool) -> str:
    cells = method_table(group, bn, whole)
    scored = method_rows(group, bn)["architectures"].dropna()
    over = f" Over {scored.min():,.0f} architectures." if note and len(scored) else ""
    title = f"How well the supernets rank ({bn})" if whole else f"The same under {bn}: {PROTOCOLS.get(bn, bn)}"
    return page.card(title, page.table(cells, len(cells) - len(group.methods)), note + over)


def _curves(group: Group, number: int) -> list[str]:
    accuracy = {method: curves.accuracy_curve(runs) for method, runs in group.methods.items()}
    validation = group.runs[0].config.get("validation") or {}
    note = CURVE_NOTE.format(paths=validation.get("paths", "some"), bn=validation.get("bn", "as logged"))
    by_steps = page.chart(charts.accuracy_chart(accuracy, "step"), f"steps-{number}")
    by_passes = page.chart(charts.accuracy_chart(accuracy, "passes"), f"passes-{number}")
    return [
        page.card("One-shot accuracy over supernet steps", by_steps, note),
        page.card("One-shot accuracy over backward passes", by_passes, PASSES_NOTE),
    ]


def _scored(group: Group, bn: str, number: int) -> list[str]:
    """Histograms, scatter and count spread; a chart without data is left out."""
    accuracies = {method: curves.pooled_accuracies(runs, bn) for method, runs in group.methods.items()}
    points = {method: curves.scatter_points(runs, bn) for method, runs in group.methods.items()}
    spread = {method: curves.spread_curve(runs) for method, runs in group.methods.items()}
    found: list[tuple[str, Callable[[], go.Figure], Mapping[str, Sized], str]] = [
        ("Where one-shot accuracies lie", partial(charts.histogram_chart, accuracies), accuracies, HISTOGRAM_NOTE),
        ("One-shot accuracy against the truth", partial(charts.scatter_chart, points), points, SCATTER_NOTE),
        ("How evenly the choices were trained", partial(charts.spread_chart, spread), spread, SPREAD_NOTE),
    ]
    return [
        page.card(title, page.chart(draw(), f"scored-{number}-{i}"), note.format(bn=bn))
        for i, (title, draw, data, note) in enumerate(found)
        if any(len(part) for part in data.values())
    ]


def lemma() -> str:
    """FairNAS Figure 4, the same for all comparisons."""
    return page.card("Why uniform sampling is not even", page.chart(charts.lemma_chart(), "lemma"), LEMMA_NOTE)


def all_runs(groups: Sequence[Group]) -> str:
    """A folded table with a row for every run and protocol."""
    rows = pd.DataFrame([row for group in groups for row in long_rows(group)])
    shown = rows.drop(columns=["comparison"]).rename(columns=lambda name: str(name).replace("_", " "))
    return page.folded(f"All runs: {len(rows)} rows, as in table.csv", page.table(shown.map(_cell)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
