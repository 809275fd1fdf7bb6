"""A picture of one supernet step: which path trains which choice of which layer.

python -m src.analysis.report.illustration <file.png> draws one step of strict fairness (FairNAS, Figure 3).
L layers, m choices of a layer, M paths.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH, HEIGHT, GAP_X, GAP_Y = 1.0, 0.56, 0.75, 0.34


def fair_step(paths: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """The choices `names` (m,) of each layer as boxes, and each of the paths (M, L) as a line of its own colour."""
    layers, top = len(paths[0]), len(names) * (HEIGHT + GAP_Y)
    figure = Figure(figsize=(1.5 * layers + 2.6, 0.78 * len(names) + 0.9), layout="constrained")
    axes = figure.subplots()
    right, middle = (layers - 1) * (WIDTH + GAP_X), (len(names) - 1) * (HEIGHT + GAP_Y) / 2
    for path, colour in zip(paths, cycle(COLOURS), strict=False):
        places = [(layer * (WIDTH + GAP_X), (len(names) - 1 - c) * (HEIGHT + GAP_Y)) for layer, c in enumerate(path)]
        # From the mini-batch on the left, through one box of each layer, to the summed gradient on the right
        points = [(-1.15, middle), *places, (right + 1.1, middle)]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=2.2, zorder=1, solid_joinstyle="round")
        for (x, y), choice in zip(places, path, strict=True):
            corner, rounded = (x - WIDTH / 2, y - HEIGHT / 2), "round,pad=0.02,rounding_size=0.08"
            style: dict[str, Any] = {"boxstyle": rounded, "facecolor": colour, "edgecolor": "none", "zorder": 2}
            axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, **style))
            axes.text(x, y, names[choice], ha="center", va="center", color="white", fontsize=9, zorder=3)
    axes.text(-1.2, middle, "one\nmini-\nbatch", ha="right", va="center", fontsize=9)
    axes.text(right + 1.15, middle, "sum of\ngradients,\none update", ha="left", va="center", fontsize=9)
    # Captions: at both ends, and over each layer
    for layer in range(layers):
        axes.text(layer * (WIDTH + GAP_X), top - 0.1, f"layer {layer}", ha="center", color="#555")
    axes.set(xlim=(-1.9, right + 1.9), ylim=(-0.5, top + 0.25), aspect="equal")
    axes.axis("off")
    return figure


if __name__ == "__main__":
    example = [(0, 2, 1, 0, 2), (1, 0, 2, 2, 1), (2, 1, 0, 1, 0)]
    drawn = fair_step(example, ["pool 3x3", "MB k3 e1", "MB k3 e3"])
    drawn.savefig(sys.argv[1], dpi=150, facecolor="white")
    print(sys.argv[1])
