"""The table of a ranking on the terminal, the same for `train` and `rank`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from src.analysis.report.style import baseline_label


def show(title: str, rankings: Mapping[str, Mapping[str, Any]], ceilings: Mapping[str, Any], ranked_by: str) -> None:
    """Print, for each subset, tau by every score under every BN protocol, the counting baselines and the ceiling.

    `rankings` is {protocol or file: {score: {subset: summary}}}; the score that orders the paths is bold. Intervals of
    rho and r are in result.json.
    """
    table = Table(title=title, caption=CAPTION, caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0))
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    table.add_column("\nordered by", no_wrap=True)
    for name in ("Kendall's tau\n[95 %]", "\nrho", "\nr", "top\n10", "best\nrank", "ten\nleft"):
        table.add_column(name, justify="right", no_wrap=True)
    # One row for each score under each protocol; the one that orders the paths stands out
    every = [
        (f"[bold]{score} ({by})[/bold]" if score == ranked_by else f"{score} ({by})", subsets)
        for by, scores in rankings.items()
        for score, subsets in scores.items()
    ]
    # Subsets and counting baselines are those of the networks, the same for every score
    first = every[0][1]
    for subset in first:
        table.add_row(f"[bold]{subset}: {first[subset]['n']:,} networks[/bold]", *[""] * 6)
        for number, (name, subsets) in enumerate(every):
            table.add_row(f" {name}", *_cells(subsets[subset]))
            # what the score that orders the paths knows beyond their size
            if number == 0 and subset == "all":
                _add_beyond(table, subsets[subset])
        _add_baselines(table, first[subset], ceilings.get(subset))
        table.add_section()
    Console(width=max(Console().width, WIDTH)).print(table)


WIDTH = 80
"""Columns of a terminal that the table takes; where there are fewer, or none, its lines wrap."""
CAPTION = (
    "top 10: share of the truly ten best among the predicted ten; best rank: true rank of the best of those; "
    "ten left: improvement of their mean, 0 the mean of all, 1 the best; *: best of the counts; "
    "bold: the score that orders the paths"
)


def _cells(summary: Mapping[str, Any]) -> list[str]:
    if "tau" not in summary:
        return [""] * 6
    ten = next((top for top in summary["top"] if top["name"] == "10"), {"precision": None, "best_rank": None})
    rho, r = (number(summary[name]["value"], ".2f") for name in ("spearman", "pearson"))
    ten_cells = [number(ten["precision"], ".0%"), number(ten["best_rank"], ".0f")]
    return [_estimate(summary["tau"]), rho, r, *ten_cells, number(summary["improvement_at_10"], ".2f")]


def _add_beyond(table: Table, summary: Mapping[str, Any]) -> None:
    if above := summary.get("above_count"):
        table.add_row("  minus the best count", _estimate(above), *[""] * 5)
    for size, estimates in summary.get("beyond", {}).items():
        label = baseline_label(size).removeprefix("counting ")
        table.add_row(f"  given {label}, partial", _estimate(estimates["partial"]), *[""] * 5)
        table.add_row(f"  within fifths of {label}", _estimate(estimates["within_fifths"]), *[""] * 5)


def _add_baselines(table: Table, summary: Mapping[str, Any], ceiling: Mapping[str, Any] | None) -> None:
    baselines = summary.get("baselines", {})
    best = max(baselines, key=lambda name: baselines[name]["value"] or 0.0, default=None)
    for name, estimate in baselines.items():
        at_ten = number(summary["baselines_at_10"].get(name), ".2f")
        label = f" {baseline_label(name)}{' *' if name == best else ''}"
        table.add_row(label, _estimate(estimate), "", "", "", "", at_ten)
    if ceiling:
        table.add_row(f" {ceiling['kind']}", f"{ceiling['value']:.3f}" + " " * 15, "", "", "", "", "")


def number(value: float | None, form: str) -> str:
    """A cell: the value in a format, empty for None."""
    return "" if value is None else f"{value:{form}}"


def _estimate(estimate: Mapping[str, float | None]) -> str:
    if estimate["value"] is None:
        return "–"
    return f"{estimate['value']:.3f} [{number(estimate['low'], '5.2f')}, {number(estimate['high'], '5.2f')}]"
