"""Sections of the report page: a header, tables and charts of each comparison, and a table of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from src.analysis.report import page
from src.analysis.report.chart import Chart
from src.analysis.report.groups import Group
from src.analysis.report.rankings import protocols
from src.analysis.report.style import PROTOCOLS, SCORES, label, order
from src.analysis.report.tables import long_rows, method_rows
from src.analysis.report.wording import budget_statement, method_table, small_tables, warnings

TABLE_NOTE = (
    "FairNAS Table 3. Figures are means over seeds, ± their standard deviation over seeds. The interval of a method is "
    "a 95 % t interval of its mean over seeds; that of a count, or of a single seed, is a bootstrap over "
    "architectures. "
    "τ is Kendall's tau-b between the score that ranks, losses negated, and the accuracy when trained alone; a loss "
    "as a sum over layers is a constant and one effect of each layer's choice, fitted to the losses of all scored "
    "paths; the other score's τ is beside it; the best count is the counting baseline of the largest τ, and the "
    "interval of the difference a paired bootstrap over architectures, its bounds means over seeds; the noise "
    "ceiling is that of one half of the truth's own runs against the other. The improvement is how far the mean truth "
    "of the ten predicted best lies from that of all, 0, towards the best of all, 1."
)


def header(groups: Sequence[Group], commits: Mapping[str, int], bn: str) -> list[str]:
    """Methods, commits, and how many of the runs are finished."""
    runs = [run for group in groups for run in group.runs]
    finished = sum(run.finished for run in runs)
    methods = order({method for group in groups for method in group.methods})
    # Commits, and whether they tell the whole truth about the code
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


def comparison(group: Group, charts: Mapping[str, Chart], bn: str, number: int) -> list[str]:
    """Tables and charts of one group; `number` tells its charts from other groups'."""
    others = [other for other in protocols(group.runs) if other != bn]
    return [
        page.paragraph(budget_statement(group)),
        *(page.paragraph(text, "warning") for text in warnings(group)),
        table_card(group, bn, f"Ranking by {SCORES[group.ranked_by]} (BN {bn})", TABLE_NOTE, whole=True),
        *(table_card(group, o, f"The same under {o}: {PROTOCOLS.get(o, o)}", "", whole=False) for o in others),
        *(page.card(title, page.table(cells), note) for title, cells, note in small_tables(group, bn)),
        page.grid([page.chart_card(chart, f"{name}-{number}") for name, chart in charts.items()]),
    ]


def table_card(group: Group, bn: str, title: str, note: str, whole: bool) -> str:
    """The table of methods and baselines under one batch-norm protocol; `whole` adds costs and count spread."""
    cells = method_table(group, bn, whole)
    scored = method_rows(group, bn)["architectures"].dropna()
    over = f" Over {scored.min():,.0f} architectures." if note and len(scored) else ""
    return page.card(title, page.table(cells, len(cells) - len(group.methods)), note + over)


def all_runs(groups: Sequence[Group]) -> str:
    """A folded table with a row for every run and protocol."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        return "" if value is None else str(value)

    rows = pd.DataFrame([row for group in groups for row in long_rows(group)])
    shown = rows.drop(columns=["comparison"]).rename(columns=lambda name: str(name).replace("_", " "))
    return page.folded(f"All runs: {len(rows)} rows, as in table.csv", page.table(shown.map(cell)))
