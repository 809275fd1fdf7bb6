"""A picture of one supernet step: which path trains which choice of which layer.

python -m src.analysis.report.illustration <file.png> draws one step of strict fairness (FairNAS, Figure 3).
L layers, m choices of a layer, M paths.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from src.analysis.report.figures import save

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH, HEIGHT, GAP_X, GAP_Y = 1.0, 0.56, 0.75, 0.34


def fair_step(paths: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """The choices `names` (m,) of each layer as boxes, and each of the paths (M, L) as a line of its own colour."""
    layers = len(paths[0])
    figure = Figure(figsize=(1.5 * layers + 2.6, 0.78 * len(names) + 0.9), layout="constrained")
    axes = figure.subplots()
    for k, path in enumerate(paths):
        colour = COLOURS[k % len(COLOURS)]
        for layer, choice in enumerate(path):
            _box(axes, layer, choice, len(names), colour, names[choice])
        _line(axes, path, k, len(paths), len(names), colour)
    for layer in range(layers):
        axes.text(_x(layer), len(names) * (HEIGHT + GAP_Y) - 0.1, f"layer {layer}", ha="center", color="#555")
    axes.set(xlim=(-1.9, _x(layers - 1) + 1.9), ylim=(-0.5, len(names) * (HEIGHT + GAP_Y) + 0.25), aspect="equal")
    axes.axis("off")
    return figure


def _x(layer: int) -> float:
    return layer * (WIDTH + GAP_X)


def _y(choice: int, choices: int) -> float:
    return (choices - 1 - choice) * (HEIGHT + GAP_Y)


def _box(axes: Axes, layer: int, choice: int, choices: int, colour: str, name: str) -> None:
    y = _y(choice, choices)
    box = FancyBboxPatch(
        (_x(layer) - WIDTH / 2, y - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor=colour,
        edgecolor="none",
        zorder=2,
    )
    axes.add_patch(box)
    axes.text(_x(layer), y, name, ha="center", va="center", color="white", fontsize=9, zorder=3)


def _line(axes: Axes, path: Sequence[int], k: int, paths: int, choices: int, colour: str) -> None:
    """From the mini-batch on the left, through one box of each layer, to the summed gradient on the right."""
    middle = _y(0, choices) / 2
    start, end = (-1.15, middle), (_x(len(path) - 1) + 1.1, middle)
    points = [start, *[(_x(layer), _y(choice, choices)) for layer, choice in enumerate(path)], end]
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=2.2, zorder=1, solid_joinstyle="round")
    if k == paths - 1:
        axes.text(-1.2, middle, "one\nmini-\nbatch", ha="right", va="center", fontsize=9)
        axes.text(end[0] + 0.05, middle, "sum of\ngradients,\none update", ha="left", va="center", fontsize=9)


if __name__ == "__main__":
    example = [(0, 2, 1, 0, 2), (1, 0, 2, 2, 1), (2, 1, 0, 1, 0)]
    print(save(fair_step(example, ["pool 3x3", "MB k3 e1", "MB k3 e3"]), Path(sys.argv[1])))
