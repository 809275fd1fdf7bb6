"""Figures of a network space search: probabilities of ranges, mean cost, the spaces themselves, updates of slices.

Decisions are d1, w1, d2, w2, ...: depth and width of each stage in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from src.analysis.report import space_curves
from src.analysis.report.chart import (
    GREY,
    INK,
    Axis,
    Band,
    Chart,
    ColourScale,
    Line,
    Matrix,
    Panel,
    Rule,
    Series,
    floats,
    rows_of,
)
from src.analysis.report.figures import BLUE, band_and_line
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import VIRIDIS, colours, label

PROBABILITIES_READING = (
    "Probability of each range of depths (d) and widths (w) of a stage after each epoch, a line per range and seed. "
    "All start alike; during the warm-up only the weights learn."
)
COST_READING = (
    "Mean cost of the networks drawn from all spaces by their probabilities. Line: mean over seeds. Shade: lowest to "
    "highest seed. Dashed: the target. A mean on target does not say how far its networks spread around it."
)
MAP_READING = (
    "After the last epoch: probability of a range of depths times that of a range of widths, each stage by itself, "
    "mean over seeds. The Elite Space is the likeliest cell of each stage."
)
SPACE_READING = (
    "As the supplement's Figure S1: blocks of the three stages from left to right, as tall as they have channels. "
    "Solid: the smallest network of the space chosen. Dashed: the largest one."
)
SLICES_READING = (
    "How often each channel and each block was trained, in percent of the backward passes, mean over seeds. A network "
    "of width w trains the first w channels. With uniform widths the last channel hardly ever is: a warm-up that takes "
    "the largest width at first levels this."
)


SHADES = ColourScale("smallest to largest range", 0, 1, VIRIDIS[:-1], ticks=())
"""The palest yellow would not be seen."""


def probabilities_figure(methods: Mapping[str, Sequence[TrainingRun]]) -> Chart:
    """A panel for each decision, a row of panels for each method."""
    rows = []
    for method, runs in methods.items():
        # seeds of a method share its panels, a line each
        tables = [space_curves.probabilities(run) for run in runs]
        layers = sorted({layer for table in tables for layer in table["layer"]})
        panels: list[Panel] = []
        for layer in layers:
            lines = []
            for table in tables:
                ranges = table[table["layer"] == layer]
                count = ranges["choice"].nunique()
                for choice, line in ranges.groupby("choice"):
                    lines.append(
                        Line(
                            x=floats(line["epoch"]),
                            y=floats(line["value"]),
                            colour=SHADES.colour(choice / max(count - 1, 1)),
                            hover=tuple(f"{n}: {v:.3f}" for n, v in zip(line["name"], line["value"], strict=True)),
                            width=1.2,
                        )
                    )
            # a method's name stands over its row once, or it would run into the next panel
            title = label(method) if len(methods) > 1 and not panels else ""
            x, y = Axis(f"epoch ({_decision(layer)})"), Axis("" if panels else "probability", (0, 1))
            panels.append(Panel(tuple(lines), x, y, title))
        rows.append(tuple(panels))
    size = (0.6 + 2.1 * len(rows[0]), 0.5 + 2.2 * len(rows))
    return Chart("Probabilities of ranges", PROBABILITIES_READING, tuple(rows), size=size, share_y=True, scale=SHADES)


def cost_figure(curves: Mapping[str, pd.DataFrame], of: str, target: float) -> Chart:
    """Mean cost of a drawn network by epoch; `curves` by method, those of curves.importance_curve."""
    series: list[Series] = []
    for method, colour in colours(curves).items():
        curve = curves[method]
        hover = tuple(f"{value:,.0f}" for value in curve["mean"])
        series += band_and_line(curve, ("epoch", "mean", "low", "high"), method, colour, hover, 1e-6)
    # in millions, as costs are read
    series.append(Rule(across="y", at=1e-6 * target, dash="dash"))
    name = {"macs": "multiply-adds", "params": "parameters"}[of]
    panel = Panel(tuple(series), Axis("epoch"), Axis(f"mean {name} of a network, M", (0, None)))
    return Chart("Mean cost against the target", COST_READING, ((panel,),), together=True)


def map_figure(methods: Mapping[str, Sequence[TrainingRun]]) -> Chart:
    """A matrix for each stage, depths upwards and widths to the right, a row of them for each method."""
    rows = []
    for method, runs in methods.items():
        last = [space_curves.last_probabilities(run) for run in runs]
        panels = []
        for stage in range(len(last[0]) // 2):
            depths, widths = (last[0][2 * stage + offset]["name"].tolist() for offset in (0, 1))
            # decisions are independent, so a cell's probability is a product; row 0 is drawn at the top
            cells = np.mean([np.outer(each[2 * stage]["value"], each[2 * stage + 1]["value"]) for each in last], axis=0)
            matrix = Matrix(rows=tuple(floats(row) for row in cells[::-1]), numbers=cells.size <= 64)
            x = Axis(f"width of stage {stage + 1}", ticks=_ticks(widths), upright=len(widths) > 6)
            y = Axis("" if stage else "depth", ticks=_ticks(depths[::-1]))
            panels.append(Panel((matrix,), x, y, label(method) if not stage else ""))
        rows.append(tuple(panels))
    scale = ColourScale("probability", 0, 1, ("#FFFFFF", "#0072B2", "#00263D"))
    size = (3.4 * len(rows[0]), 0.4 + 2.2 * len(rows))
    return Chart("The spaces on the map of depths and widths", MAP_READING, tuple(rows), size=size, scale=scale)


def spaces_figure(methods: Mapping[str, Sequence[TrainingRun]]) -> Chart:
    """The space chosen by each run, drawn as its smallest and its largest network."""
    panels = []
    for method, runs in methods.items():
        for run in runs:
            panels.append(_space_panel(space_curves.likeliest(run), f"{label(method)}, seed {run.seed}"))
    # two in a row: blocks of deep spaces need the width
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    return Chart(
        "The spaces chosen",
        SPACE_READING,
        rows_of(panels, columns),
        size=(5.2 * columns, 0.3 + 2.5 * rows),
        share_y=True,
    )


def _space_panel(ranges: Sequence[tuple[int, int]], title: str) -> Panel:
    """Blocks as rectangles, a unit of y for each channel."""
    series: list[Series] = []
    ticks, left = [], 0.0
    for stage, (depth, width) in enumerate(zip(ranges[::2], ranges[1::2], strict=True)):
        # every block that some network of the space has; the first ones all have
        for block in range(depth[1]):
            sides = (left + block + 0.1, left + block + 0.9)
            series.append(Band(x=sides, low=(0, 0), high=(width[1], width[1]), colour=BLUE))
            series.append(_rectangle(sides, width[1], GREY, is_dashed=True))
            if block < depth[0]:
                series.append(_rectangle(sides, width[0], INK))
        words = f"stage {stage + 1}\n{_range(depth)} x {_range(width)}"
        ticks.append((left + depth[1] / 2, words))
        left += depth[1] + 0.8
    return Panel(tuple(series), Axis(ticks=tuple(ticks)), Axis("channels", (0, None)), title)


def _rectangle(sides: tuple[float, float], height: float, colour: str, is_dashed: bool = False) -> Line:
    """An outline between two x, standing on y = 0."""
    x, y = (*sides, *sides[::-1], sides[0]), (0.0, 0.0, height, height, 0.0)
    return Line(x=x, y=y, colour=colour, width=0.8 if is_dashed else 1.4, dash="dash" if is_dashed else "solid")


def slices_figure(methods: Mapping[str, Sequence[TrainingRun]]) -> Chart:
    """Updates of channels in the upper row, of blocks in the lower one, a panel per stage and a line per method."""
    shares = {method: space_curves.updates_of_slices(runs) for method, runs in methods.items()}
    palette = colours(methods)
    stages = len(next(iter(shares.values()))) // 2
    rows = []
    # widths are the odd decisions
    for offset, kind in ((1, "channel"), (0, "block")):
        panels = []
        for stage in range(stages):
            lines = []
            for method, tables in shares.items():
                table = tables[2 * stage + offset]
                hover = tuple(f"{share:.1f} %" for share in table["share"])
                x, y = floats(table["value"]), floats(table["share"])
                lines.append(Line(x=x, y=y, colour=palette[method], name=label(method), group=method, hover=hover))
            x_axis = Axis(f"{kind} of stage {stage + 1}", integer=True)
            panels.append(Panel(tuple(lines), x_axis, Axis("" if stage else "trained, % of passes", (0, None))))
        rows.append(tuple(panels))
    return Chart("How often slices were trained", SLICES_READING, tuple(rows), size=(9.6, 5.2), share_y=True)


def _decision(layer: int) -> str:
    """`w2` for decision 3."""
    return f"{'w' if layer % 2 else 'd'}{layer // 2 + 1}"


def _range(each: tuple[int, int]) -> str:
    """`9-16`, or the number alone."""
    return f"{each[0]}-{each[1]}" if each[0] < each[1] else str(each[0])


def _ticks(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """A text at each place from 0."""
    return tuple((float(at), name) for at, name in enumerate(names))
