"""The report's tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from src.analysis.report.rankings import BOUNDS, other_score
from src.analysis.report.style import baseline_label, label
from src.analysis.report.wording import from_to, interval, with_spread


def comparison_table(comparison: Mapping[str, Any], bn: str) -> Table:
    """One comparison of the result: a row per method, then the counting baselines, the best first; a caption warns."""
    caption = " ".join([comparison["budget"], *comparison["warnings"]])
    by = comparison["ranked_by"].replace("_", " ")
    title = f"{comparison['title']}, ranked by {by}, BN {bn}"
    table = Table(title=title, caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True  # 80 columns hold it
    table.add_column("\nmethod")
    headings = ("\nseeds", "backward\npasses", "accuracy\n%", "Kendall\ntau", "95 %\ninterval")
    for name in (*headings, f"by\n{other_score(comparison['ranked_by'])}"):
        table.add_column(name, justify="right", no_wrap=True)
    # JSON's null is nan again, which the cells show as a dash
    for plain in comparison["methods"]:
        row: dict[str, Any] = {key: math.nan if value is None else value for key, value in plain.items()}
        table.add_row(
            label(row["method"]),
            f"{row['seeds']}" + (f" +{row['running']}" if row["running"] else ""),
            from_to(row["backward_passes_min"], row["backward_passes_max"]),
            with_spread(100 * row["accuracy"], math.nan, 1),
            with_spread(row["tau"], math.nan, 2),
            interval(row["tau_low"], row["tau_high"]),
            with_spread(row["tau_by_other"], math.nan, 2),
        )
    table.add_section()
    # Counting baselines and the noise ceiling, without what only a trained supernet has
    for row in comparison["baselines"]:
        if row["tau"] is not None:
            bounds = "" if row["tau_low"] is None else interval(row["tau_low"], row["tau_high"])
            table.add_row(baseline_label(row["name"]), "", "", "", f"{row['tau']:.2f}", bounds, "")
    return table


def together_table(comparison: Mapping[str, Any]) -> Table | None:
    """A row per method of several seeds: the ranking by their mean scores; None where there is none."""
    rows = [row for row in comparison["methods"] if row["tau_together"] is not None]
    counts = [f"{row['supernets_together']:.0f}" for row in rows]
    return tau_table("the seeds together: their mean scores", "seeds", counts, rows, "_together")


def ensemble_table(comparison: Mapping[str, Any]) -> Table | None:
    """A row per method: the mean of its ensembles, as `ensemble_size=` asks for them; None where there is none."""
    rows = comparison["ensembles"]
    counts = [f"{row['ensembles']} × {row['supernets']}" for row in rows]
    return tau_table("ensembles, in the order of the seeds: the mean over them", "ensembles", counts, rows)


def tau_table(
    title: str, counted: str, counts: Sequence[str], rows: Sequence[Mapping[str, Any]], ending: str = ""
) -> Table | None:
    """A row per method with its count of supernets, tau, and tau minus that of the best count; None without rows.

    `ending` of the names tau and above_count in the rows.
    """
    if not rows:
        return None
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    table.add_column("method", min_width=15)
    for name in (counted, "tau", "[95 %]", "minus best count", "[95 %]"):
        table.add_column(name, justify="right", no_wrap=True)
    for count, row in zip(counts, rows, strict=True):
        cells = [count]
        for figure, sign in (("tau", ""), ("above_count", "+")):
            value, low, high = (row[figure + ending + part] for part in BOUNDS)
            cells += ["", ""] if value is None else [f"{value:{sign}.3f}", interval(low, high)]
        table.add_row(label(row["method"]), *cells)
    return table


def search_table(evaluator: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Shares of the true front's hypervolume, with intervals, of the searchers that saw one kind of scores."""
    table = Table(title=f"share of the true front, %, evaluator={evaluator}", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge = False, False
    shown = [name for name in rows[0] if name not in ("seeds", "networks")]  # 80 columns hold the others
    for name in shown:
        table.add_column(name, justify="left" if name == "searcher" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in shown))
    return table
