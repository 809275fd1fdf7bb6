"""The report of searches: table.csv (a row per search), table.md, figures and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from src.analysis.report import page, png
from src.analysis.report.over_seeds import SeedMean
from src.analysis.report.search_figures import fronts_figure, shares_figure
from src.analysis.report.searches import LABELS, SearchRun, budgets_of, compared, long_table
from src.analysis.report.wording import markdown
from src.runtime.provenance import commit
from src.runtime.result_schemas import ReportResult
from src.runtime.run_folder import replace_file

ABOUT = (
    "Share of the true front's hypervolume that the front of a search dominates, measured by the truth, in percent; "
    "means over seeds ± half of a 95 % t interval. Gain: percentage points over random search, paired by seed. "
    "Networks are distinct ones that were scored; a searcher that proposes nothing new any more ends earlier."
)
EVALUATORS = {
    "truth": "Searchers see the benchmark's accuracies",
    "scores": "Searchers see a supernet's scores; the truth measures their fronts",
    "supernet": "Searchers see a supernet's scores, made as they search; the truth measures their fronts",
}


def write(runs: Sequence[SearchRun], commits: Mapping[str, int], out: Path) -> ReportResult:
    """Write the whole report; returns its figures as plain JSON values."""
    out.mkdir(parents=True, exist_ok=True)
    budgets = budgets_of(runs)
    table = long_table(runs, budgets)
    comparison = compared(table, budgets)
    replace_file(out / "table.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6f"))
    # Tables apart for each evaluator: a search by scores is not to be compared with one by the truth
    evaluators = comparison.evaluator.unique().tolist()
    shown = {name: cells(comparison[comparison.evaluator == name], budgets) for name in evaluators}
    text = [f"## {EVALUATORS[name]}\n\n{markdown(part)}\n" for name, part in shown.items()]
    replace_file(out / "table.md", f"{ABOUT}\n\n" + "\n".join(text))
    # Page and PNG files from the same charts
    body, drawn = [page.paragraph(ABOUT)], []
    for name, part in shown.items():
        own = [run for run in runs if run.evaluator == name]
        body += [page.heading(EVALUATORS[name]), page.table(part)]
        charts = {f"shares_{name}": shares_figure(own), f"fronts_{name}": fronts_figure(own)}
        drawn += [png.save(chart, out / "figures" / f"{file}.png") for file, chart in charts.items()]
        body.append(page.grid([page.chart_card(chart, file) for file, chart in charts.items()]))
        body += drawings(own)
    title = f"Searchers on {runs[0].result.search_space}"
    replace_file(out / "report.html", page.document(title, body))
    return ReportResult(
        commit=commit(),
        runs={"finished": len(runs)},
        commits=dict(commits),
        page=(out / "report.html").as_posix(),
        figures=[path.as_posix() for path in drawn],
        comparisons={str(name): records(part) for name, part in shown.items()},
    )


def drawings(runs: Sequence[SearchRun]) -> list[str]:
    """The networks that the first seed of each searcher selected, as the search drew them; none of older searches."""
    first = {run.searcher: run for run in sorted(runs, key=lambda run: -run.seed)}
    cards = [
        page.picture_card(f"{LABELS.get(searcher, searcher)}, seed {run.seed}: {file.stem.replace('_', ' ')}", file)
        for searcher, run in first.items()
        for number in range(len(run.result.selected))
        if (file := run.folder / "figures" / f"network_{number}.svg").exists()
    ]
    return [page.heading("Networks selected"), page.grid(cards)] if cards else []


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def cells(comparison: pd.DataFrame, budgets: Sequence[int]) -> pd.DataFrame:
    """Text cells of a comparison, one row per searcher."""
    table = pd.DataFrame({"searcher": [LABELS.get(name, name) for name in comparison.searcher]})
    table["seeds"] = comparison.seeds.to_numpy()
    table["networks"] = [f"{value:,.0f}" for value in comparison.models]
    for models in budgets:
        table[f"% at {models:,}"] = [value.percent() for value in comparison[f"at_{models}"]]
    table["gain"] = [value.percent() if isinstance(value, SeedMean) else "" for value in comparison.gain]
    return table
