"""The part of the page on what the predictions are worth: what pruning by them keeps, and whether seeds agree."""

from __future__ import annotations

import pandas as pd

from src.analysis.report import page
from src.analysis.report.agreement import DRAWN, PAIRS, agreements
from src.analysis.report.findings import LEFT
from src.analysis.report.groups import Group
from src.analysis.report.improvement_charts import improvement_and_tau_chart, improvement_chart
from src.analysis.report.pairs_figures import pairs_chart
from src.analysis.report.selection import selection
from src.analysis.report.style import colours
from src.analysis.report.wording import consistency_table, selection_table

KEPT_NOTE = (
    "Inter-choice weights, Figures 4 and 5. The predicted worst architectures are pruned one by one, from all {n:,} on "
    "the left to ten on the right; drawn is the mean true accuracy of those left ({bn}). On the right's scale 0 is the "
    "mean of all, which a random choice gives, and 1 the best architecture. Where a curve stops rising, the supernet "
    "finds nothing better among what it keeps. Line: mean over seeds. Shade: lowest to highest seed, or one standard "
    "deviation from four seeds on. Grey: pruning what has the fewest parameters or multiply-adds."
)
ALL_NOTE = (
    "Inter-choice weights, Figures 8 and 9. The same curves down to the one architecture that is predicted best "
    "({bn}). Below ten left, single architectures decide and seeds part: no difference there should be trusted."
)
TAU_NOTE = (
    "Inter-choice weights, Figure 3. Above: the improvement, as before. Below: τ over the truly best architectures, as "
    "the truly worst are taken away one by one; where it nears 0, the supernet no longer orders the good ones, and "
    "pruning further by its predictions gains nothing ({bn})."
)
PAIRS_NOTE = (
    "Inter-choice weights, Figure 10. A dot is an architecture, predicted by two supernets that differ in their seed "
    f"alone ({{bn}}). On the line both predict the same accuracy; a cloud beside it is an offset, which no ranking "
    f"notices, a wide one disagreement. At most {DRAWN} dots of a panel and {PAIRS} pairs of a method are drawn; the "
    "figures above a panel are over all architectures."
)
CONSISTENCY_NOTE = (
    "Inter-choice weights, Table 2. Correlation of the one-shot accuracies of two seeds: mean over all pairs of seeds, "
    "with the smallest and the largest pair ({bn}). No truth is needed for it, and a high value is no merit by itself: "
    "seeds may agree on what is wrong."
)
SELECTION_NOTE = (
    "Of the ten predicted best, the share that are among the ten truly best; then the ranges, best minus worst, of "
    "one-shot and of stand-alone accuracies over the same architectures, and the supernet accuracy gap λ between the "
    "two ranges (FairNAS 4.5), in percentage points: mean ± standard deviation over seeds ({bn})."
)


def small_tables(group: Group, bn: str) -> list[str]:
    """Self-consistency, and what the ten predicted best are; one without data is left out."""
    found: list[tuple[str, pd.DataFrame, str]] = [
        ("Do the seeds agree?", consistency_table(group, bn), CONSISTENCY_NOTE),
        ("The ten predicted best, and the ranges of accuracy", selection_table(group, bn), SELECTION_NOTE),
    ]
    return [page.card(title, page.table(cells), note.format(bn=bn)) for title, cells, note in found if len(cells)]


def improvement_cards(group: Group, bn: str, number: int) -> list[str]:
    """Charts of the improvement, where more than ten architectures have a known truth; `number` tells groups apart."""
    found = selection(group, bn)
    if found.architectures <= LEFT:
        return []
    charts = [
        ("What pruning by predictions keeps, until ten are left", improvement_chart(found), KEPT_NOTE),
        ("The same until one is left", improvement_chart(found, 1), ALL_NOTE),
        ("Where the supernets stop ordering", improvement_and_tau_chart(found), TAU_NOTE),
    ]
    return [
        page.card(title, page.chart(chart, f"kept-{number}-{i}"), note.format(bn=bn, n=found.architectures))
        for i, (title, chart, note) in enumerate(charts)
    ]


def pairs_card(group: Group, bn: str, number: int) -> list[str]:
    """A wide card, where two seeds of a method have finished."""
    found = agreements(group, bn)
    if not found:
        return []
    chart = page.chart(pairs_chart(found, colours(group.methods)), f"pairs-{number}")
    sized = page.between(chart, 150 * len(found), 320 * len(found))
    return [page.card("Predictions of one seed against another's", sized, PAIRS_NOTE.format(bn=bn))]
