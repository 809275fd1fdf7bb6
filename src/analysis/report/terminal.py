"""The report's tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from src.analysis.report.style import baseline_label, label
from src.analysis.report.wording import between, interval, with_spread


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """One comparison of the result: a row per method, then the counting baselines; a caption warns."""
    caption = " ".join([comparison["budget"], *comparison["warnings"]])
    table = Table(title=comparison["title"], caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True  # 80 columns hold it
    table.add_column("\nmethod")
    for name in ("\nseeds", "backward\npasses", "accuracy\n%", "Kendall's\ntau", "95 %\ninterval"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in comparison["methods"]:
        table.add_row(*_method_cells({key: math.nan if value is None else value for key, value in row.items()}))
    table.add_section()
    for row in comparison["baselines"]:
        if row["tau"] is not None:
            table.add_row(baseline_label(row["name"]), "", "", "", f"{row['tau']:.2f}", _bounds(row))
    return table


def search_table(evaluator: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Searchers that saw one kind of scores: shares of the true front's hypervolume with intervals."""
    table = Table(title=f"share of the true front, %, evaluator={evaluator}", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge = False, False
    shown = [name for name in rows[0] if name not in ("seeds", "networks")]  # 80 columns hold the others
    for name in shown:
        table.add_column(name, justify="left" if name == "searcher" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in shown))
    return table


def _method_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        label(row["method"]),
        f"{row['seeds']}" + (f" +{row['running']}" if row["running"] else ""),
        between(row["backward_passes_min"], row["backward_passes_max"]),
        with_spread(100 * row["accuracy"], 100 * row["accuracy_sd"], 1),
        with_spread(row["tau"], row["tau_sd"], 2),
        interval(row["tau_low"], row["tau_high"]),
    ]


def _bounds(row: Mapping[str, Any]) -> str:
    return "" if row["tau_low"] is None else interval(row["tau_low"], row["tau_high"])
