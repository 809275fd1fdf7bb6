"""The report's files: report.html, figures/*.png, table.csv (a row per run and protocol), table.md, ensembles.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from src.analysis.report import page, png, sections
from src.analysis.report.agreement import consistency_rows
from src.analysis.report.chart import Chart
from src.analysis.report.ensembles import ensemble_rows
from src.analysis.report.explanation import explanation_figure
from src.analysis.report.figures import lemma_figure
from src.analysis.report.group_charts import group_charts
from src.analysis.report.groups import Group
from src.analysis.report.rankings import protocols
from src.analysis.report.tables import baseline_rows, long_rows, method_rows
from src.analysis.report.wording import budget_statement, markdown, method_table, small_tables, warnings
from src.runtime.provenance import commit
from src.runtime.result_schemas import ReportResult
from src.runtime.run_folder import replace_file


def write(groups: Sequence[Group], commits: Mapping[str, int], bn: str, out: Path) -> ReportResult:
    """Write the whole report; returns its figures as plain JSON values."""
    out.mkdir(parents=True, exist_ok=True)
    rows = write_tables(groups, bn, out)
    # Each figure is described once; the PNG files and the page are made of the same charts
    charts = [group_charts(group, bn) for group in groups]
    common = {"lemma_1": lemma_figure()}
    if explanation := explanation_figure(rows[rows["bn"] == bn]):
        common["tau_explained"] = explanation
    drawn = [png.save(chart, out / "figures" / f"{name}.png") for name, chart in common.items()]
    for group, each in zip(groups, charts, strict=True):
        prefix = f"{group.slug}_" if len(groups) > 1 else ""
        drawn += [png.save(chart, out / "figures" / f"{prefix}{name}.png") for name, chart in each.items()]
    page_path = write_page(groups, charts, common, sections.header(groups, commits, bn), bn, out)
    runs = [run for group in groups for run in group.runs]
    finished = sum(run.finished for run in runs)
    return ReportResult(
        commit=commit(),
        runs={"finished": finished, "unfinished": len(runs) - finished},
        commits=dict(commits),
        bn=bn,
        page=page_path.as_posix(),
        figures=[path.as_posix() for path in drawn],
        comparisons=[comparison_record(group, bn) for group in groups],
    )


def write_page(
    groups: Sequence[Group],
    charts: Sequence[Mapping[str, Chart]],
    common: Mapping[str, Chart],
    header: Sequence[str],
    bn: str,
    out: Path,
) -> Path:
    """report.html, all in one file: header, tables and charts of each comparison, charts of all of them, all runs."""
    body = list(header)
    for number, (group, each) in enumerate(zip(groups, charts, strict=True)):
        body += [page.heading(group.title)] if len(groups) > 1 else []
        body += sections.comparison(group, each, bn, number)
    body += [page.grid([page.chart_card(chart, name) for name, chart in common.items()]), sections.all_runs(groups)]
    title = groups[0].title if len(groups) == 1 else f"{len(groups)} comparisons"
    replace_file(out / "report.html", page.document(f"Fairpath: {title}", body))
    return out / "report.html"


def write_tables(groups: Sequence[Group], bn: str, out: Path) -> pd.DataFrame:
    """Write table.csv for machines and table.md for READMEs; returns the rows of table.csv."""
    rows = pd.DataFrame([row for group in groups for row in long_rows(group)])
    replace_file(out / "table.csv", rows.convert_dtypes().to_csv(index=False, lineterminator="\n"))
    ensembles = [{"comparison": group.title, **row} for group in groups for row in ensemble_rows(group, bn)]
    (out / "ensembles.csv").unlink(missing_ok=True)  # of an earlier report
    if ensembles:
        replace_file(out / "ensembles.csv", pd.DataFrame(ensembles).to_csv(index=False, lineterminator="\n"))
    blocks = [block for group in groups for block in markdown_blocks(group, bn)]
    replace_file(out / "table.md", "\n\n".join(blocks) + "\n")
    return rows


def markdown_blocks(group: Group, bn: str) -> list[str]:
    """Headings, sentences and tables of one comparison in Markdown."""
    others = [other for other in protocols(group.runs) if other != bn]
    return [
        f"### {group.title}",
        budget_statement(group),
        *(f"**{text}**" for text in warnings(group)),
        f"Ranked by {group.ranked_by}, BN `{bn}`. {sections.TABLE_NOTE}",
        markdown(method_table(group, bn)),
        *(f"{title}. {note}\n\n{markdown(cells)}" for title, cells, note in small_tables(group, bn)),
        *(f"BN `{other}`:\n\n{markdown(method_table(group, other, whole=False))}" for other in others),
    ]


def comparison_record(group: Group, bn: str) -> dict[str, Any]:
    """The tables of one comparison in plain JSON values."""
    return {
        "title": group.title,
        "ranked_by": group.ranked_by,
        "budget": budget_statement(group),
        "warnings": warnings(group),
        "methods": records(method_rows(group, bn)),
        "baselines": records(baseline_rows(group, bn)),
        "self_consistency": consistency_rows(group, bn),
        "ensembles": ensemble_rows(group, bn),
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, None for nan."""
    rows = table.astype(object).to_dict("records")
    return [{str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
