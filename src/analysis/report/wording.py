"""Tables and findings as a reader sees them: rounded figures, units, and what the comparison does not control."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from src.analysis.report.agreement import consistency_rows
from src.analysis.report.groups import REFERENCE, Group
from src.analysis.report.style import baseline_label, label
from src.analysis.report.tables import baseline_rows, method_rows

EQUAL_WITHIN = 0.01
"""Relative difference below which two budgets count as equal: one of passes need not be a multiple of k."""

AT_TEN = "Improvement at ten left"


def method_table(group: Group, bn: str, whole: bool = True) -> pd.DataFrame:
    """FairNAS Table 3 as text: a row per method, then the baselines; `whole` adds costs and count spread."""
    against = "no inter-choice weights" if group.has_weights else label(REFERENCE).lower()
    rows = [_method_cells(row, f"τ minus {against}") for row in method_rows(group, bn).to_dict("records")]
    rows += [_baseline_cells(row) for row in baseline_rows(group, bn).dropna(subset="tau").to_dict("records")]
    table = pd.DataFrame(rows).fillna("")
    return table if whole else table.drop(columns=["Supernet steps", "Backward passes", "Count spread"])


def _method_cells(row: dict[Any, Any], difference: str) -> dict[str, str]:
    return {
        "Method": label(row["method"]),
        "Seeds": f"{row['seeds']}" + (f" (+{row['running']} running)" if row["running"] else ""),
        "Supernet steps": between(row["steps_min"], row["steps_max"]),
        "Backward passes": between(row["backward_passes_min"], row["backward_passes_max"]),
        "One-shot accuracy, %": with_spread(100 * row["accuracy"], 100 * row["accuracy_sd"], 1),
        "Kendall τ": with_spread(row["tau"], row["tau_sd"], 3),
        "95 % interval of τ": interval(row["tau_low"], row["tau_high"]),
        difference: _difference(row),
        "Spearman ρ": with_spread(row["spearman"], math.nan, 3),
        AT_TEN: with_spread(row["improvement_at_10"], row["improvement_at_10_sd"], 2),
        "Count spread": between(row["count_spread"], row["count_spread"]),
    }


def _difference(row: dict[Any, Any]) -> str:
    """`-0.031 [-0.08, 0.02]`; empty for the reference itself, or where it is not among the methods."""
    if math.isnan(row["tau_difference"]):
        return ""
    bounds = interval(row["tau_difference_low"], row["tau_difference_high"])
    return f"{row['tau_difference']:+.3f}" + ("" if bounds == "–" else f" {bounds}")


def _baseline_cells(row: dict[Any, Any]) -> dict[str, str]:
    return {
        "Method": baseline_label(row["name"]),
        "Kendall τ": with_spread(row["tau"], math.nan, 3),
        "95 % interval of τ": interval(row["tau_low"], row["tau_high"]),
        AT_TEN: "" if math.isnan(row["improvement_at_10"]) else f"{row['improvement_at_10']:.2f}",
    }


def consistency_table(group: Group, bn: str) -> pd.DataFrame:
    """Inter-choice Table 2 as text: a row per method of which two seeds have finished; empty if there is none."""
    return pd.DataFrame([_consistency_cells(row) for row in consistency_rows(group, bn)])


def _consistency_cells(row: dict[str, Any]) -> dict[str, str]:
    marks = {"tau": "Kendall τ", "pearson": "Pearson r", "spearman": "Spearman ρ"}
    return {
        "Method": label(row["method"]),
        "Seeds": f"{row['seeds']}",
        **{name: _span(row[key]) for key, name in marks.items()},
        "Architectures": f"{row['n']:,}",
    }


def _span(found: Mapping[str, Any]) -> str:
    """`0.761 [0.744, 0.780]`: the mean over pairs of seeds with its smallest and largest."""
    return "–" if found["mean"] is None else f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def selection_table(group: Group, bn: str) -> pd.DataFrame:
    """What the ten predicted best are, and FairNAS's supernet accuracy gap (4.5); empty where no truth is known."""
    rows = method_rows(group, bn).dropna(subset="gap").to_dict("records")
    return pd.DataFrame([_selection_cells(row) for row in rows])


def _selection_cells(row: dict[Any, Any]) -> dict[str, str]:
    ranges = {"One-shot range, points": "one_shot_range", "Stand-alone range, points": "alone_range", "Gap λ": "gap"}
    return {
        "Method": label(row["method"]),
        "Truly best ten among them, %": with_spread(100 * row["precision_at_10"], 100 * row["precision_at_10_sd"], 0),
        **{name: with_spread(100 * row[key], 100 * row[f"{key}_sd"], 1) for name, key in ranges.items()},
    }


CONSISTENCY_NOTE = (
    "Inter-choice weights, Table 2. Correlation of the one-shot accuracies of two seeds: mean over all pairs of seeds, "
    "with the smallest and the largest pair (BN {bn}). No truth is needed for it, and a high value is no merit by "
    "itself: seeds may agree on what is wrong."
)
SELECTION_NOTE = (
    "The share of the ten predicted best that are among the ten truly best; then the ranges, best minus worst, of "
    "one-shot and of stand-alone accuracies over the same architectures, and the supernet accuracy gap λ between the "
    "two ranges (FairNAS 4.5), in percentage points: mean ± standard deviation over seeds (BN {bn})."
)


def small_tables(group: Group, bn: str) -> list[tuple[str, pd.DataFrame, str]]:
    """Title, cells and note of the tables on self-consistency and the ten predicted best; none without data."""
    tables = [
        ("Self-consistency of the seeds", consistency_table(group, bn), CONSISTENCY_NOTE.format(bn=bn)),
        ("The ten predicted best, and ranges of accuracy", selection_table(group, bn), SELECTION_NOTE.format(bn=bn)),
    ]
    return [table for table in tables if len(table[1])]


def with_spread(value: float, sd: float, digits: int) -> str:
    """`0.612 ± 0.031`, without the spread where it is nan, a dash where nothing is known."""
    if math.isnan(value):
        return "–"
    return _rounded(value, digits) + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


def interval(low: float, high: float) -> str:
    """`[0.52, 0.71]`, or a dash."""
    return "–" if math.isnan(low) or math.isnan(high) else f"[{_rounded(low, 2)}, {_rounded(high, 2)}]"


def _rounded(value: float, digits: int) -> str:
    """Without the sign of -0.00."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def between(low: float, high: float) -> str:
    """`1,800`, or `1,790 to 1,800` where the runs differ."""
    if math.isnan(low):
        return "–"
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def markdown(table: pd.DataFrame) -> str:
    """A pipe table."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def budget_statement(group: Group) -> str:
    """At equal what the finished runs are compared, in one sentence."""
    costs = {
        name: _costs(group, key) for name, key in (("mini-batches", "steps"), ("backward passes", "backward_passes"))
    }
    if not costs["mini-batches"]:
        return "No run has finished yet."
    equal = [f"at equal {name} ({between(min(c), max(c))} each)" for name, c in costs.items() if c and _equal(c)]
    return f"Compared {' and '.join(equal)}." if equal else "Compared at unequal budgets."


def warnings(group: Group) -> list[str]:
    """What stands in the way of a fair reading, a sentence each."""
    return [*_unequal_passes(group), *_confounded(group), *_repeated(group), *_unfinished(group)]


def _unequal_passes(group: Group) -> list[str]:
    each = {method: _mean_cost(group, method) for method in group.methods}
    known = {method: cost for method, cost in each.items() if cost}
    if not known or _equal(list(known.values())):
        return []
    listed = "; ".join(f"{label(method)} {cost:,.0f}" for method, cost in known.items())
    return [f"Unequal cost: backward passes per run differ ({listed}); compare at equal backward passes as well."]


def _confounded(group: Group) -> list[str]:
    keys = ", ".join(group.confounded)
    known = "the sampler and the inter-choice weights" if group.has_weights else "the sampler"
    return [f"The methods differ in more than {known}: {keys}."] if keys else []


def _repeated(group: Group) -> list[str]:
    seeds = Counter((method, run.seed) for method, runs in group.methods.items() for run in runs)
    listed = "; ".join(f"{label(method)} seed {seed}" for (method, seed), count in seeds.items() if count > 1)
    return [f"Run more than once with the same settings, and counted each time: {listed}."] if listed else []


def _unfinished(group: Group) -> list[str]:
    count = sum(not run.finished for run in group.runs)
    return [f"{count} of {len(group.runs)} runs not finished: in the curves, not in the tables."] if count else []


def _costs(group: Group, key: str) -> list[float]:
    return [run.result[key] for run in group.runs if run.result and run.result.get(key) is not None]


def _mean_cost(group: Group, method: str) -> float:
    passes = [
        run.result["backward_passes"] for run in group.methods[method] if run.result and "backward_passes" in run.result
    ]
    return sum(passes) / len(passes) if passes else 0.0


def _equal(values: Sequence[float]) -> bool:
    return max(values) <= min(values) * (1 + EQUAL_WITHIN)
