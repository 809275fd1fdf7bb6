"""Pictures of one strict-fairness step, from a plan of the sampler itself: which path trains which choice.

python -m src.analysis.report.illustration <file.png> draws a step of `mini` (FairNAS, Figure 3) path by path.
L layers, m choices of a layer, M paths.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from src.analysis.report.chart import GREY, GRID, INK
from src.samplers.strict_fair import StrictFair

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH, HEIGHT, GAP_X, GAP_Y = 1.0, 0.56, 0.45, 0.28
Paths = Sequence[Sequence[int]]


def fair_step(paths: Paths, names: Sequence[str], columns: int = 2) -> Figure:
    """A panel for each path (M, L) among the choices `names` (m,) of each layer, and one for the update after the last.

    A box has the colour of the path that trained it; in the last panel every box has one.
    """
    panels = len(paths) + 1
    rows = -(-panels // columns)
    size = (columns * (0.6 * len(paths[0]) + 0.9), rows * (0.36 * len(names) + 0.4))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, axes in enumerate(grid):
        axes.axis("off")
        if number < len(paths):
            title = f"path {number + 1} of {len(paths)}: one backward pass, gradients kept"
            _draw(axes, paths, names, (number,), title)
        elif number == len(paths):
            _draw(axes, paths, names, range(len(paths)), "then one update: each choice trained exactly once")
    return figure


def _draw(axes: Axes, paths: Paths, names: Sequence[str], shown: Sequence[int], title: str) -> None:
    """The paths that are shown in their colours, on the choices of all layers."""
    layers, right = len(paths[0]), (len(paths[0]) - 1) * (WIDTH + GAP_X)
    middle = (len(names) - 1) * (HEIGHT + GAP_Y) / 2
    owners: dict[tuple[int, int], str] = {}
    for number, (path, colour) in enumerate(zip(paths, cycle(COLOURS), strict=False)):
        if number not in shown:
            continue
        owners |= dict.fromkeys(enumerate(path), colour)
        # from the mini-batch on the left, through one box of each layer, to the gradients on the right
        places = [(layer * (WIDTH + GAP_X), _height(names, choice)) for layer, choice in enumerate(path)]
        points = [(-0.95, middle), *places, (right + 0.95, middle)]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=2.0, zorder=1, solid_joinstyle="round")
    # every choice of every layer, filled where a path shown has trained it
    for layer in range(layers):
        for choice, name in enumerate(names):
            x, y, owner = layer * (WIDTH + GAP_X), _height(names, choice), owners.get((layer, choice))
            corner, rounded = (x - WIDTH / 2, y - HEIGHT / 2), "round,pad=0.02,rounding_size=0.08"
            style: dict[str, Any] = {"facecolor": owner or "white", "edgecolor": owner or GRID, "zorder": 2}
            axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=rounded, **style))
            ink = "white" if owner else GREY
            axes.text(x, y, name, ha="center", va="center", color=ink, fontsize=7, zorder=3)
    axes.set(xlim=(-1.0, right + 1.0), ylim=(-0.4, _height(names, 0) + 0.4), aspect="equal")
    axes.set_title(title, loc="left", fontsize=8, color=INK)


def _height(names: Sequence[str], choice: int) -> float:
    """The first choice stands at the top."""
    return (len(names) - 1 - choice) * (HEIGHT + GAP_Y)


if __name__ == "__main__":
    (update,) = StrictFair((3,) * 5, seed=0).plan()
    paths = [[int(choice) for choice in route] for route in update.routes]
    drawn = fair_step(paths, ["pool 3x3", "MB k3 e1", "MB k3 e3"])
    drawn.savefig(sys.argv[1], dpi=150, facecolor="white")
    print(sys.argv[1])
