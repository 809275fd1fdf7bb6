"""Tables and sentences for readers: rounded figures, units, and what the comparison does not control."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from src.analysis.report import beyond, ensembles, together
from src.analysis.report.agreement import consistency_rows
from src.analysis.report.groups import REFERENCE, Group
from src.analysis.report.rankings import other_score
from src.analysis.report.style import baseline_label, label
from src.analysis.report.tables import baseline_rows, method_rows

EQUAL_WITHIN = 0.01
"""Relative difference below which two budgets count as equal: one of passes need not be a multiple of k."""

AT_TEN = "Improvement at ten left"
COSTS = {"mini-batches": "steps", "backward passes": "backward_passes"}

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


def method_table(group: Group, bn: str, whole: bool = True) -> pd.DataFrame:
    """FairNAS Table 3 as text: a row per method, then the baselines; `whole` adds costs and count spread."""
    against = "no inter-choice weights" if group.has_weights else label(REFERENCE).lower()
    by = group.ranked_by.replace("_", " ")
    rows = []
    for row in method_rows(group, bn).to_dict("records"):
        # `-0.031 [-0.08, 0.02]`; empty for the reference itself, or where it is not among the methods
        bounds = interval(row["tau_difference_low"], row["tau_difference_high"])
        difference = f"{row['tau_difference']:+.3f}" + ("" if bounds == "–" else f" {bounds}")
        above = row["tau_above_count"]
        bounds = interval(row["tau_above_count_low"], row["tau_above_count_high"])
        above_count = "" if math.isnan(above) else f"{above:+.3f}" + ("" if bounds == "–" else f" {bounds}")
        rows.append(
            {
                "Method": label(row["method"]),
                "Seeds": f"{row['seeds']}" + (f" (+{row['running']} running)" if row["running"] else ""),
                "Supernet steps": from_to(row["steps_min"], row["steps_max"]),
                "Backward passes": from_to(row["backward_passes_min"], row["backward_passes_max"]),
                "One-shot accuracy, %": with_spread(100 * row["accuracy"], 100 * row["accuracy_sd"], 1),
                f"Kendall τ by {by}": with_spread(row["tau"], row["tau_sd"], 3),
                "95 % interval of τ": interval(row["tau_low"], row["tau_high"]),
                f"τ minus {against}": "" if math.isnan(row["tau_difference"]) else difference,
                "τ minus best count": above_count,
                f"τ by {other_score(group.ranked_by)}": with_spread(row["tau_by_other"], math.nan, 3),
                "Spearman ρ": with_spread(row["spearman"], math.nan, 3),
                AT_TEN: with_spread(row["improvement_at_10"], row["improvement_at_10_sd"], 2),
                "Count spread": from_to(row["count_spread"], row["count_spread"]),
            }
        )
    # Counting baselines and noise ceiling, with the cells that they have
    for row in baseline_rows(group, bn).dropna(subset="tau").to_dict("records"):
        at_ten = row["improvement_at_10"]
        rows.append(
            {
                "Method": baseline_label(row["name"]),
                f"Kendall τ by {by}": with_spread(row["tau"], math.nan, 3),
                "95 % interval of τ": interval(row["tau_low"], row["tau_high"]),
                AT_TEN: "" if math.isnan(at_ten) else f"{at_ten:.2f}",
            }
        )
    table = pd.DataFrame(rows).fillna("")
    return table if whole else table.drop(columns=["Supernet steps", "Backward passes", "Count spread"])


def consistency_table(group: Group, bn: str) -> pd.DataFrame:
    """Inter-choice Table 2 as text: a row per method of which two seeds have finished; empty if there is none.

    `0.761 [0.744, 0.780]` is the mean over pairs of seeds with its smallest and largest.
    """
    marks = {"tau": "Kendall τ", "pearson": "Pearson r", "spearman": "Spearman ρ"}
    rows = []
    for row in consistency_rows(group, bn):
        cells = {"Method": label(row["method"]), "Seeds": f"{row['seeds']}"}
        for key, name in marks.items():
            mean, low, high = (row[key][part] for part in ("mean", "low", "high"))
            cells[name] = "–" if mean is None else f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        rows.append(cells | {"Architectures": f"{row['n']:,}"})
    return pd.DataFrame(rows)


def selection_table(group: Group, bn: str) -> pd.DataFrame:
    """Precision of the ten predicted best, and FairNAS's supernet accuracy gap (4.5); empty where no truth is known."""
    ranges = {"One-shot range, points": "one_shot_range", "Stand-alone range, points": "alone_range", "Gap λ": "gap"}
    precision = "precision_at_10"
    return pd.DataFrame(
        [
            {
                "Method": label(row["method"]),
                "Truly best ten among them, %": with_spread(100 * row[precision], 100 * row[f"{precision}_sd"], 0),
                **{name: with_spread(100 * row[key], 100 * row[f"{key}_sd"], 1) for name, key in ranges.items()},
            }
            for row in method_rows(group, bn).dropna(subset="gap").to_dict("records")
        ]
    )


def small_tables(group: Group, bn: str) -> list[tuple[str, pd.DataFrame, str]]:
    """Title, cells and note of the tables beside that of the methods; those without data are left out."""
    tables = [
        ("Beyond counting", beyond.beyond_table(group, bn), beyond.NOTE.format(bn=bn)),
        ("The seeds together", together.together_table(group, bn), together.NOTE.format(bn=bn)),
        ("Ensembles", ensembles.ensemble_table(group, bn), ensembles.note(group, bn)),
        ("Self-consistency of the seeds", consistency_table(group, bn), CONSISTENCY_NOTE.format(bn=bn)),
        ("The ten predicted best, and ranges of accuracy", selection_table(group, bn), SELECTION_NOTE.format(bn=bn)),
    ]
    return [table for table in tables if len(table[1])]


def with_spread(value: float, sd: float, digits: int) -> str:
    """`0.612 ± 0.031`, without the spread where it is nan, a dash where nothing is known."""
    if math.isnan(value):
        return "–"
    return rounded(value, digits) + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


def interval(low: float, high: float) -> str:
    """`[0.52, 0.71]`, or a dash."""
    return "–" if math.isnan(low) or math.isnan(high) else f"[{rounded(low, 2)}, {rounded(high, 2)}]"


def rounded(value: float, digits: int) -> str:
    """A number of so many digits, without the sign of -0.00."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def from_to(low: float, high: float) -> str:
    """`1,800`, or `1,790 to 1,800` where the runs differ."""
    if math.isnan(low):
        return "–"
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def markdown(table: pd.DataFrame) -> str:
    """A pipe table."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def budget_statement(group: Group) -> str:
    """The budgets at which the finished runs are compared, in one sentence."""
    costs = {name: known_costs(group, key) for name, key in COSTS.items()}
    if not costs["mini-batches"]:
        return "No run has finished yet."
    # Budgets can be equal in steps, in backward passes, in both or in neither
    equal = [f"at equal {name} ({from_to(min(c), max(c))} each)" for name, c in costs.items() if c and are_equal(c)]
    return f"Compared {' and '.join(equal)}." if equal else "Compared at unequal budgets."


def warnings(group: Group) -> list[str]:
    """Everything that stands in the way of a fair reading, a sentence each."""
    sentences = []
    # Cost: means over the seeds of each method
    each = {label(method): known_costs(group, "backward_passes", method) for method in group.methods}
    means = {name: sum(passes) / len(passes) for name, passes in each.items() if passes and sum(passes)}
    if means and not are_equal(list(means.values())):
        listed = "; ".join(f"{name} {cost:,.0f}" for name, cost in means.items())
        sentences.append(
            f"Unequal cost: backward passes per run differ ({listed}); compare at equal backward passes as well."
        )
    # Settings that are tied to the method
    if group.confounded:
        known = "the sampler and the inter-choice weights" if group.has_weights else "the sampler"
        sentences.append(f"The methods differ in more than {known}: {', '.join(group.confounded)}.")
    # Seeds that were run twice
    seeds = Counter((method, run.seed) for method, runs in group.methods.items() for run in runs)
    repeated = "; ".join(f"{label(method)} seed {seed}" for (method, seed), count in seeds.items() if count > 1)
    if repeated:
        sentences.append(f"Run more than once with the same settings, and counted each time: {repeated}.")
    # A sweep that is still running
    unfinished = sum(not run.finished for run in group.runs)
    if unfinished:
        sentences.append(f"{unfinished} of {len(group.runs)} runs not finished: in the curves, not in the tables.")
    return sentences


def known_costs(group: Group, key: str, method: str | None = None) -> list[float]:
    """Values of one cost of the finished runs, of one method or of all."""
    runs = group.runs if method is None else group.methods[method]
    return [cost for run in runs if run.finished and (cost := run.costs[key]) is not None]


def are_equal(values: Sequence[float]) -> bool:
    """Whether costs differ by no more than EQUAL_WITHIN."""
    return max(values) <= min(values) * (1 + EQUAL_WITHIN)
