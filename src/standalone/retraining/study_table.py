"""The tables of a stand-alone ranking on the terminal. k models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from src.analysis.report.style import baseline_label
from src.runtime.result import estimate_cells, figures_table
from src.runtime.result_schemas import StudyResult


def show(table: pd.DataFrame, result: StudyResult, folder: Path) -> None:
    """Print the k models in order of one-shot accuracy, then tau, the counting baselines and the gap."""
    models = []
    for row in table.to_dict("records"):
        accuracies = [f"{100 * row[name]:.1f}" for name in ("one_shot", "test", "val")]
        models.append((row["path"], *accuracies, f"{row['params']:,}", f"{row['macs']:,}"))
    columns = ("path", "one-shot, %", "alone: test, %", "alone: val, %", "parameters", "multiply-adds")
    title = f"{len(table)} paths of {result.search_space} / {result.dataset}, trained alone"
    Console().print(figures_table(title, models, columns))

    ranking = result.test
    rows = [(f"*Kendall's tau of one-shot accuracy (BN {result.bn})", *estimate_cells(ranking["tau"]))]
    for name, estimate in ranking["baselines"].items():
        rows.append((f"  {baseline_label(name)}", *estimate_cells(estimate)))
    rows.append(("sd of tau under no relation", f"{ranking['null_sd']:.3f}", ""))
    ranges = " - ".join(f"{100 * ranking[name]:.1f}" for name in ("one_shot_range", "alone_range"))
    rows.append((f"gap lambda, points: |{ranges}|", f"{100 * ranking['gap']:.1f}", ""))
    Console().print(figures_table("", rows, ("against accuracy on test", "value", "95 % interval")))
    print(f"folder: {folder}")
