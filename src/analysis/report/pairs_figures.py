"""The scores of one seed against those of another [paper: inter-choice weights, Figure 10], drawn in percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.analysis.report.agreement import DRAWN, PAIRS, Agreement
from src.analysis.report.chart import GREY, Axis, Chart, Panel, Points, Rule, floats
from src.analysis.report.style import colours, label

MARKS = {"tau": "τ", "pearson": "r", "spearman": "ρ"}


def pairs_figure(agreements: Mapping[str, Agreement], palette: Mapping[str, str] | None = None, bn: str = "") -> Chart:
    """A row per method, a panel per pair of seeds, a dot per architecture; the line is where both predict the same."""
    palette = palette or colours(agreements)
    columns = max((len(agreement.drawn_pairs()) for agreement in agreements.values()), default=1)
    rows: list[tuple[Panel | None, ...]] = []
    for method, agreement in agreements.items():
        # One scale for all panels of a row: from below the lowest to above the highest score of any seed
        scores = 100 * agreement.predictions.dropna().to_numpy(float)
        room = 0.04 * float(np.ptp(scores)) or 0.5
        ends = (float(scores.min()) - room, float(scores.max()) + room)
        panels: list[Panel | None] = []
        for x, y, pair in agreement.drawn_pairs():
            a, b = pair["seeds"]
            hover = tuple(
                f"{arch}<br>seed {a}: {100 * one:.1f} %, seed {b}: {100 * other:.1f} %"
                for arch, one, other in zip(x.index, x, y, strict=True)
            )
            dots = Points(x=floats(x, 100), y=floats(y, 100), colour=palette[method], hover=hover, size=2.8)
            # The method's name stands over its first panel
            heading = "" if panels else label(method)
            axes = (Axis(f"seed {a}", ends), Axis(f"seed {b}", ends))
            line = Rule(across="diagonal", colour=GREY)
            panels.append(Panel((line, dots), *axes, title=f"{heading}\n{correlations(pair)}", square=True))
        # Methods with fewer seeds have fewer pairs: fill their rows up with gaps
        rows.append((*panels, *[None] * (columns - len(panels))))
    return Chart(
        "Scores of one seed against another's",
        "Inter-choice weights, Figure 10. A dot is an architecture, scored by two supernets that differ in their seed "
        f"alone (BN {bn}). On the line both give the same accuracy; a cloud beside it is an offset, which no ranking "
        f"notices, a wide one disagreement. At most {DRAWN} dots of a panel and {PAIRS} pairs of a method are drawn; "
        "the figures above a panel are over all architectures.",
        tuple(rows) or ((Panel(()),),),
        size=(0.6 + 2.3 * columns, 0.4 + 2.6 * max(len(rows), 1)),
        x_label=f"one-shot accuracy of one seed against another's, %{f' (BN {bn})' if bn else ''}",
    )


def correlations(pair: Mapping[str, Any]) -> str:
    """`τ 0.76, r 0.95, ρ 0.93`, with a dash for what is undefined."""
    return ", ".join(f"{mark} {'–' if pair[key] is None else f'{pair[key]:.2f}'}" for key, mark in MARKS.items())
