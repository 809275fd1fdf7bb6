from __future__ import annotations

from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from src.analysis.report.illustration import COLOURS, fair_step
from src.samplers.strict_fair import StrictFair


def test_each_panel_fills_the_boxes_of_its_path_and_the_last_one_all() -> None:
    (update,) = StrictFair((3,) * 4, seed=5).plan()
    paths = [[int(choice) for choice in route] for route in update.routes]
    figure = fair_step(paths, ["a", "b", "c"])
    filled = []
    for axes in figure.axes:
        boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
        assert len(boxes) == 12
        filled.append([to_hex(box.get_facecolor()).upper() for box in boxes])
    for number, (path, shades) in enumerate(zip(paths, filled, strict=False)):
        # boxes go layer by layer, choice by choice
        assert [shades[3 * layer : 3 * layer + 3].index(COLOURS[number]) for layer in range(4)] == path
        assert shades.count("#FFFFFF") == 8
    assert all(filled[-1].count(shade) == 4 for shade in COLOURS[:3])
