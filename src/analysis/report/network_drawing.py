"""Drawings of networks: blocks in a row (FairNAS, Figure 7; PA&DA, Figure 9; Network Space Search, Figure S1), or the
graph of a cell (PA&DA, Figure 8). PNG and SVG, by Matplotlib alone.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from src.analysis.report.chart import GREY, INK
from src.runtime.run_folder import replace_file
from src.search_spaces.picture import Block, Blocks, Graph, Picture

WIDTH, GAP, STAGE_GAP = 0.8, 0.2, 0.5
"""Of blocks, in units of which one takes UNIT inches."""
UNIT = 0.36
SLOPE = 0.42
"""Height of an arc over the distance of its ends."""
COLOURS = {
    "e1": "#56B4E9",
    "e3": "#0072B2",
    "e6": "#00456B",
    "conv_3x3": "#D55E00",
    "conv3x3": "#D55E00",
    "conv_1x1": "#E69F00",
    "conv1x1": "#E69F00",
    "pool": "#009E73",
    "basic": "#0072B2",
}
"""By a part of an operation's name; others, identities and skips, are grey."""
SHORT = {"conv3x3-bn-relu": "conv 3x3", "conv1x1-bn-relu": "conv 1x1", "maxpool3x3": "max pool 3x3"}


def save_drawing(title: str, picture: Picture, stem: Path) -> list[Path]:
    """Write `<stem>.png`, 150 dots an inch, and `<stem>.svg`; returns both.

    Raises:
        OSError: the files cannot be written.
    """
    figure = draw_network(title, picture)
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for file in files:
        content = io.BytesIO()
        figure.savefig(content, format=file.suffix[1:], dpi=150, facecolor="white")
        replace_file(file, content.getbuffer())
    return files


def draw_network(title: str, picture: Picture) -> Figure:
    """A figure of one network, cell or space, its title above."""
    match picture:
        case Blocks():
            return _row_of_blocks(title, picture)
        case Graph():
            return _graph(title, picture)


def colour(name: str) -> str:
    """The colour of an operation."""
    return next((shade for part, shade in COLOURS.items() if part in name), GREY)


def _row_of_blocks(title: str, picture: Blocks) -> Figure:
    blocks = picture.blocks
    # a new stage begins where the maps shrink
    places, x = [], 0.0
    for before, block in zip([blocks[0], *blocks], blocks, strict=False):
        x += STAGE_GAP if before.size != block.size else 0.0
        places.append(x)
        x += WIDTH + GAP
    # the tallest block reaches just below the sizes of the maps
    top = max(block.most or block.channels for block in blocks)
    heights = [_height(block, top if picture.by_channels else None) for block in blocks]
    low = -1.5 if any(block.most not in (None, block.channels) for block in blocks) else -0.7
    figure = Figure(figsize=(max(UNIT * (x + 1.2), 3.0), UNIT * (max(heights) + 1.3 - low) + 0.1), layout="constrained")
    axes = figure.subplots()
    for block, left, height in zip(blocks, places, heights, strict=True):
        _draw_block(axes, block, left, height, picture.by_channels)
    high = max(heights) + 0.15
    _draw_stages(axes, blocks, places, high)
    axes.set(xlim=(-0.4, x + 0.2), ylim=(low, high + 0.35), aspect="equal", anchor="W")
    return _titled(figure, axes, title)


def _titled(figure: Figure, axes: Axes, title: str) -> Figure:
    """With the title, in lines that the figure is wide enough for."""
    letters = int(figure.get_figwidth() * 15)
    axes.set_title("\n".join(textwrap.wrap(title, letters)), loc="left", fontsize=9, color=INK)
    axes.axis("off")
    return figure


def _height(block: Block, most_channels: int | None) -> float:
    """The largest network's: by channels, or by the kernel."""
    if most_channels is not None:
        return max(4.4 * (block.most or block.channels) / most_channels, 0.12)
    kernel = re.search(r"k(\d+)|(\d+)x\d+", block.name)
    return 0.9 + 0.5 * int(next(filter(None, kernel.groups()))) if kernel else 1.7


def _draw_block(axes: Axes, block: Block, left: float, height: float, by_channels: bool) -> None:
    """A box with the operation's name upright in it, and its channels below; of a space its smallest and largest."""
    shade, middle = colour(block.name), left + WIDTH / 2
    is_space = block.most is not None and (block.most != block.channels or block.is_optional)
    is_filled = not (is_space or block.name == "identity")
    # what only some networks have is dashed
    axes.add_patch(
        Rectangle(
            (left, 0),
            WIDTH,
            height,
            facecolor=shade if is_filled else "white",
            edgecolor=shade,
            linestyle="-" if is_filled else "--",
        )
    )
    if is_space and not block.is_optional:
        inner = height * block.channels / (block.most or block.channels)
        axes.add_patch(Rectangle((left, 0), WIDTH, inner, facecolor=shade, edgecolor=shade))
    if not by_channels:
        text = block.name.replace("mb_", "MB ").replace("_", " ")
        ink = "white" if is_filled else GREY
        axes.text(middle, height / 2, text, rotation=90, ha="center", va="center", color=ink, fontsize=7)
    # its channels, below
    channels = f"{block.channels}" if block.most in (None, block.channels) else f"{block.channels}\nto\n{block.most}"
    axes.text(middle, -0.12, channels, ha="center", va="top", color=INK, fontsize=7, linespacing=0.9)


def _draw_stages(axes: Axes, blocks: Sequence[Block], places: Sequence[float], high: float) -> None:
    """The pixels of each stage's maps above it, over a line as high as `high`."""
    begins = [0, *(i for i in range(1, len(blocks)) if blocks[i].size != blocks[i - 1].size)]
    for begin, end in pairwise([*begins, len(blocks)]):
        left, right = places[begin], places[end - 1] + WIDTH
        axes.plot([left, right], [high, high], color=GREY, linewidth=0.8)
        axes.text(
            (left + right) / 2,
            high + 0.07,
            f"{blocks[begin].size} px",
            ha="center",
            va="bottom",
            fontsize=7,
            color=GREY,
        )


def _graph(title: str, picture: Graph) -> Figure:
    # nodes on a line; edges between neighbours are straight, longer ones arcs above and below in turn
    names = [SHORT.get(node, node) for node in picture.nodes]
    spread = 2.6 if any(label for *_, label in picture.edges) else 2.2
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    last = len(names) - 1
    boxes = [_draw_node(axes, spread * place, name, place in (0, last)) for place, name in enumerate(names)]
    # how far arcs reach above and below the line
    reach = {True: 0.4, False: 0.4}
    for source, target, label in picture.edges:
        is_above = target - source == 1 or target % 2 == 0
        height = _draw_edge(axes, spread, (source, target), (boxes[source], boxes[target]), label, is_above)
        reach[is_above] = max(reach[is_above], height)
    # one scale for both directions
    width, height = spread * last + 1.8, reach[True] + reach[False] + 0.7
    axes.set(xlim=(-0.9, width - 0.9), ylim=(-reach[False] - 0.35, reach[True] + 0.35), aspect="equal")
    figure.set_size_inches(0.62 * width, 0.62 * height + 0.5)
    return _titled(figure, axes, title)


def _draw_edge(
    axes: Axes,
    spread: float,
    ends: tuple[int, int],
    boxes: tuple[FancyBboxPatch, FancyBboxPatch],
    label: str,
    is_above: bool,
) -> float:
    """An arrow from box to box with its operation at the middle; returns how far it reaches from the line."""
    source, target = ends
    bend = 0.0 if target - source == 1 else SLOPE if is_above else -SLOPE
    shade = colour(label) if label else INK
    arrow = FancyArrowPatch(
        (spread * source, 0),
        (spread * target, 0),
        connectionstyle=f"arc3,rad={-bend}",
        arrowstyle="-|>",
        mutation_scale=11,
        color=shade,
        linewidth=1.6,
        patchA=boxes[0],
        patchB=boxes[1],
        shrinkA=0,
        shrinkB=1,
        zorder=1,
    )
    axes.add_patch(arrow)
    # the middle of a quadratic curve lies half way to its control point
    middle = bend * spread * (target - source) / 2
    text = label.replace("nor_", "").replace("_connect", "").replace("_", " ")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.text(spread * (source + target) / 2, middle, text, ha="center", va="center", fontsize=8, color=shade, bbox=box)
    return abs(middle)


def _draw_node(axes: Axes, x: float, name: str, is_end: bool) -> FancyBboxPatch:
    """A rounded box with a text, which is returned; operations have their colour."""
    half = 0.3 + 0.042 * max(len(line) for line in _lines(name))
    shade = INK if is_end else colour(name.replace(" ", ""))
    style = "round,pad=0.02,rounding_size=0.16"
    corner = (x - half, -0.3)
    box = FancyBboxPatch(corner, 2 * half, 0.6, boxstyle=style, facecolor="white", edgecolor=shade, linewidth=1.4)
    box.set_zorder(2)
    axes.add_patch(box)
    axes.text(x, 0, "\n".join(_lines(name)), ha="center", va="center", fontsize=8, color=shade, zorder=3)
    return box


def _lines(name: str) -> list[str]:
    """An operation over its kernel."""
    return name.rsplit(" ", 1) if " " in name else [name]
