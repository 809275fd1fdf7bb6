"""What the report writes: report.html, figures/*.png, table.csv (a row per run and protocol) and table.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from src.analysis.report import curves, figures, page, sections
from src.analysis.report.agreement import agreements, consistency_rows
from src.analysis.report.findings import LEFT, protocols
from src.analysis.report.groups import Group
from src.analysis.report.improvement_figures import improvement_and_tau, improvement_figure
from src.analysis.report.pairs_figures import pairs_figure
from src.analysis.report.runs import Run
from src.analysis.report.selection import selection
from src.analysis.report.style import colours
from src.analysis.report.tables import baseline_rows, long_rows, method_rows
from src.analysis.report.wording import (
    budget_statement,
    consistency_table,
    markdown,
    method_table,
    selection_table,
    warnings,
)
from src.runtime.run_folder import replace_file


def write(groups: Sequence[Group], commits: Mapping[str, int], bn: str, out: Path) -> dict[str, Any]:
    """The whole report; returns what it says as plain JSON values."""
    out.mkdir(parents=True, exist_ok=True)
    write_tables(groups, bn, out)
    drawn = write_figures(groups, bn, out / "figures")
    page_path = write_page(groups, commits, bn, out)
    runs = [run for group in groups for run in group.runs]
    finished = sum(run.finished for run in runs)
    return {
        "command": "report",
        "runs": {"finished": finished, "unfinished": len(runs) - finished},
        "commits": dict(commits),
        "bn": bn,
        "page": page_path.as_posix(),
        "figures": [path.as_posix() for path in drawn],
        "comparisons": [findings(group, bn) for group in groups],
    }


def write_page(groups: Sequence[Group], commits: Mapping[str, int], bn: str, out: Path) -> Path:
    """report.html, all in one file."""
    body = sections.header(groups, commits, bn)
    for number, group in enumerate(groups):
        last = number == len(groups) - 1
        body += [page.heading(group.title)] if len(groups) > 1 else []
        body += sections.comparison(group, bn, number, [sections.lemma()] if last else [])
    body.append(sections.all_runs(groups))
    replace_file(out / "report.html", page.document(_title(groups), body))
    return out / "report.html"


def _title(groups: Sequence[Group]) -> str:
    return f"Fairpath: {groups[0].title}" if len(groups) == 1 else f"Fairpath: {len(groups)} comparisons"


def write_tables(groups: Sequence[Group], bn: str, out: Path) -> None:
    """table.csv for machines, table.md for READMEs."""
    rows = pd.DataFrame([row for group in groups for row in long_rows(group)])
    replace_file(out / "table.csv", rows.convert_dtypes().to_csv(index=False, lineterminator="\n"))
    replace_file(out / "table.md", "\n\n".join(block for group in groups for block in _blocks(group, bn)) + "\n")


def _blocks(group: Group, bn: str) -> list[str]:
    others = [other for other in protocols(group.runs) if other != bn]
    return [
        f"### {group.title}",
        budget_statement(group),
        *(f"**{text}**" for text in warnings(group)),
        f"Scored under `{bn}`. {sections.TABLE_NOTE}",
        markdown(method_table(group, bn)),
        *(f"{name}:\n\n{markdown(table)}" for name, table in _small_tables(group, bn) if len(table)),
        *(f"Under `{other}`:\n\n{markdown(method_table(group, other, whole=False))}" for other in others),
    ]


def _small_tables(group: Group, bn: str) -> list[tuple[str, pd.DataFrame]]:
    return [
        ("Self-consistency, mean [smallest, largest] over pairs of seeds", consistency_table(group, bn)),
        ("The ten predicted best, and ranges of accuracy in percentage points", selection_table(group, bn)),
    ]


def write_figures(groups: Sequence[Group], bn: str, folder: Path) -> list[Path]:
    """One PNG per figure, its name headed by the comparison where there are several."""
    written = [figures.save(figures.lemma_figure(), folder / "lemma_1.png")]
    for group in groups:
        prefix = f"{group.slug}_" if len(groups) > 1 else ""
        drawn = [*_drawn(group, bn), *_selected(group, bn)]
        written += [figures.save(figure, folder / f"{prefix}{name}.png") for name, figure in drawn]
    return written


def _drawn(group: Group, bn: str) -> list[tuple[str, Figure]]:
    """Names and figures of one comparison; those without data are left out."""
    found: list[tuple[str, Callable[[Any], Figure], Callable[[Sequence[Run]], Sized]]] = [
        ("accuracy_curves", figures.accuracy_curves, curves.accuracy_curve),
        ("accuracy_histograms", figures.accuracy_histograms, lambda runs: curves.pooled_accuracies(runs, bn)),
        ("one_shot_against_truth", figures.scatter, lambda runs: curves.scatter_points(runs, bn)),
        ("count_spread", figures.spread_curves, curves.spread_curve),
    ]
    data = [(name, draw, {method: read(runs) for method, runs in group.methods.items()}) for name, draw, read in found]
    return [(name, draw(tables)) for name, draw, tables in data if any(len(table) for table in tables.values())]


def _selected(group: Group, bn: str) -> list[tuple[str, Figure]]:
    """The same for what predictions are worth, and for whether seeds agree."""
    found, pairs = selection(group, bn), agreements(group, bn)
    named = [("seeds_against_seeds", pairs_figure(pairs, colours(group.methods)))] if pairs else []
    if found.architectures <= LEFT:
        return named
    return [
        ("improvement", improvement_figure(found)),
        ("improvement_to_one", improvement_figure(found, 1)),
        ("improvement_and_tau", improvement_and_tau(found)),
        *named,
    ]


def findings(group: Group, bn: str) -> dict[str, Any]:
    """The comparison's tables in plain JSON values."""
    return {
        "title": group.title,
        "budget": budget_statement(group),
        "warnings": warnings(group),
        "methods": _records(method_rows(group, bn)),
        "baselines": _records(baseline_rows(group, bn)),
        "self_consistency": consistency_rows(group, bn),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, None for nan."""
    rows = table.astype(object).to_dict("records")
    return [{str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
