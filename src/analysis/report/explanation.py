"""Tau of all runs against the gradient's variance, and against the share of draws without parameters.

PA&DA's supplement (B.1, Figures 6 and 7a) holds that a low gradient variance makes a supernet rank well. The share
stands beside it, as a rival that knows nothing of gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from src.analysis.report.chart import Axis, Chart, Panel, Points, floats, rows_of
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import colours, label

READING = (
    "A dot is a run. The variances are medians over the epochs of a run; the share is that of "
    "all draws of the run that fell on an operation without parameters, such as pooling. ρ is Spearman's rank "
    "correlation, of all runs and of the means of the methods over their seeds; a correlation of few methods says "
    "little."
)
MEASURES = {
    "gradient_variance_raw": "gradient variance, equation 15",
    "gradient_variance_unbiased": "gradient variance, S - 1",
    "gradient_variance_relative": "variance over squared mean",
    "parameter_free_share": "draws without parameters, %",
}
LEAST = 4
"""Runs below which nothing is drawn."""


def measures(run: TrainingRun) -> dict[str, float | None]:
    """MEASURES of a run; None of what it did not record."""
    rows = run.importance
    recorded: dict[str, float | None] = {}
    for figure in MEASURES:
        values = rows.loc[rows["figure"] == figure, "value"].astype(float)
        recorded[figure] = float(values.median()) if len(values) else None
    # what the whole run drew; runs from before results had it know it by epochs, if they drew by importance
    if run.result and run.result.parameter_free_share is not None:
        recorded["parameter_free_share"] = run.result.parameter_free_share
    return recorded


def explanation_figure(rows: pd.DataFrame) -> Chart | None:
    """Tau against each measure, a dot a run; None where too few runs know both.

    Args:
        rows: table.csv, one row a run: columns comparison, method, seed, tau and MEASURES.
    """
    # runs without truth have no tau
    known = rows.dropna(subset=["tau"]).assign(series=series_names(rows))
    panels: list[Panel] = []
    palette = colours(known["series"])
    for figure, name in MEASURES.items():
        shown = known[np.isfinite(known[figure].astype(float))]
        if len(shown) < LEAST or shown[figure].nunique() == 1:
            continue
        # variances range over powers of ten
        is_share = figure == "parameter_free_share"
        dots = tuple(
            Points(
                x=floats(runs[figure], 100 if is_share else 1),
                y=floats(runs["tau"]),
                colour=palette[str(series)],
                name=label(str(series)),
                group=str(series),
                hover=tuple(f"{label(str(series))}, seed {seed}: τ {tau:.3f}" for seed, tau in seeds_of(runs)),
                size=5,
            )
            for series, runs in shown.groupby("series", sort=False)
        )
        panels.append(
            Panel(
                dots,
                Axis(name, log=not is_share),
                Axis("" if len(panels) % 2 else "Kendall's τ"),
                correlations(shown, figure),
            )
        )
    if not panels:
        return None
    grid = rows_of(panels, 2)
    return Chart(
        "What goes with a good ranking", READING, grid, size=(9, 0.8 + 3.2 * len(grid)), share_y=True, together=True
    )


def series_names(rows: pd.DataFrame) -> list[str]:
    """Method, and what tells its comparison from others: `spos, search_space.share=6`."""
    titles = [str(title).split(", ") for title in rows["comparison"]]
    common = set.intersection(*map(set, titles)) if titles else set()
    return [
        ", ".join([str(method), *(part for part in title if part not in common)])
        for method, title in zip(rows["method"], titles, strict=True)
    ]


def seeds_of(runs: pd.DataFrame) -> Sequence[tuple[int, float]]:
    """Seed and tau of each run."""
    return [(int(seed), float(tau)) for seed, tau in zip(runs["seed"], runs["tau"], strict=True)]


def correlations(runs: pd.DataFrame, figure: str) -> str:
    """Spearman's rho of tau and a measure, over runs and over the means of the series."""
    # runs of one method are no independent points: its mean over seeds is one
    means = runs.astype({figure: float, "tau": float}).groupby("series")[[figure, "tau"]].mean()
    parts = []
    for table, over in ((runs, f"{len(runs)} runs"), (means, f"{len(means)} methods")):
        if len(table) >= LEAST and table[figure].nunique() > 1:
            parts.append(f"{spearmanr(table[figure].astype(float), table['tau'].astype(float)).statistic:.2f} ({over})")
    return "ρ " + ", ".join(parts) if parts else ""
