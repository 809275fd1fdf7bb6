"""What a stand-alone ranking says, on the terminal.

k models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from rich.console import Console
from rich.table import Table

from src.analysis.report.style import baseline_label


def gap(one_shot: ArrayLike, alone: ArrayLike) -> dict[str, float]:
    """Ranges of both accuracies (k,) and FairNAS's supernet accuracy gap lambda, their difference (section 4.5)."""
    ranges = [float(np.ptp(np.asarray(values, dtype=float))) for values in (one_shot, alone)]
    return {"one_shot_range": ranges[0], "alone_range": ranges[1], "gap": abs(ranges[0] - ranges[1])}


def show(table: pd.DataFrame, result: Mapping[str, Any], folder: Path) -> None:
    """The k models in order of one-shot accuracy, then tau, what counting reaches, and the gap."""
    models = Table(title=f"{len(table)} paths of {result['search_space']} / {result['dataset']}, trained alone")
    models.add_column("path")
    for name in ("one-shot, %", "alone: test, %", "alone: val, %", "parameters", "multiply-adds"):
        models.add_column(name, justify="right")
    for row in table.to_dict("records"):
        accuracies = [f"{100 * row[name]:.1f}" for name in ("one_shot", "test", "val")]
        models.add_row(row["path"], *accuracies, f"{row['params']:,}", f"{row['macs']:,}")
    Console().print(models)
    judged = Table()
    for name, justify in (("against accuracy on test", "left"), ("value", "right"), ("95 % interval", "right")):
        judged.add_column(name, justify=justify)  # type: ignore[arg-type]
    found = result["test"]
    judged.add_row(f"Kendall's tau of one-shot accuracy (BN {result['bn']})", *_cells(found["tau"]), style="bold")
    for name, estimate in found["baselines"].items():
        judged.add_row(f"  {baseline_label(name)}", *_cells(estimate))
    judged.add_row("sd of tau under no relation", f"{found['null_sd']:.3f}", "")
    ranges = " - ".join(f"{100 * found[name]:.1f}" for name in ("one_shot_range", "alone_range"))
    judged.add_row(f"gap lambda, points: |{ranges}|", f"{100 * found['gap']:.1f}", "")
    Console().print(judged)
    print(f"folder: {folder}")


def _cells(estimate: Mapping[str, float | None]) -> tuple[str, str]:
    if estimate["value"] is None:
        return "undefined", ""
    return f"{estimate['value']:.3f}", f"{estimate['low']:.3f} to {estimate['high']:.3f}"
