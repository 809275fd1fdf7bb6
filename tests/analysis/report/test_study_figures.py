from __future__ import annotations

from typing import Any

import matplotlib.colors
import pandas as pd
import pytest

from src.analysis.report.chart import Chart
from src.analysis.report.png import draw, save
from src.analysis.report.study_figures import ORANGE, ranks_figure, training_figure

TAU = {"value": 0.67, "low": -1.0, "high": 1.0}


def lines(chart: Chart, panel: int) -> list[Any]:
    return list(draw(chart).axes[panel].get_lines())


def test_both_accuracies_are_drawn_in_order_of_the_one_shot_one() -> None:
    one_shot, alone = lines(ranks_figure([0.7, 0.5, 0.6], [0.9, 0.8, 0.7], TAU), 0)
    assert list(one_shot.get_ydata()) == pytest.approx([50, 60, 70])
    assert list(alone.get_ydata()) == pytest.approx([80, 70, 90])


def test_every_model_has_a_line_from_rank_to_rank_and_what_moves_is_orange() -> None:
    figure = ranks_figure([0.7, 0.5, 0.6], [0.9, 0.8, 0.7], TAU)
    drawn = [(tuple(line.get_ydata()), line.get_color() == ORANGE) for line in lines(figure, 1)]
    assert drawn == [((1, 1), False), ((3, 2), True), ((2, 3), True)]
    assert "0.67 [-1.00, 1.00]" in draw(figure).axes[1].get_title(loc="left")


def test_ties_and_an_undefined_tau_are_drawn_too(tmp_path: Any) -> None:
    figure = ranks_figure([0.5, 0.5], [0.8, 0.8], {"value": None, "low": None, "high": None})
    assert [tuple(line.get_ydata()) for line in lines(figure, 1)] == [(1.5, 1.5), (1.5, 1.5)]
    assert draw(figure).axes[1].get_title(loc="left") == ""
    assert save(figure, tmp_path / "ranks.png").stat().st_size > 5000


def test_training_curves_are_coloured_by_one_shot_accuracy(tmp_path: Any) -> None:
    curve = pd.DataFrame({"epoch": [1, 2, 3], "train/accuracy": [0.2, 0.5, 0.6], "val/accuracy": [None, 0.4, 0.5]})
    figure = training_figure([curve, curve], [0.6, 0.7])
    colours = [matplotlib.colors.to_hex(line.get_color()) for line in lines(figure, 1)]
    assert colours == ["#fde725", "#440154"]  # the ends of viridis, the best dark
    assert list(lines(figure, 1)[0].get_xdata()) == [2, 3]
    assert save(figure, tmp_path / "training.png").stat().st_size > 5000
