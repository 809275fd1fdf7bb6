from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from src.analysis.report import curves, figures, html, png
from src.analysis.report.chart import Chart
from src.analysis.report.runs import find_runs
from src.analysis.report.style import COLOURS
from tests.analysis.report.made_runs import make_sweep

Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    root = make_sweep(tmp_path_factory.mktemp("runs"), ("spos", "strict_fair"), seeds=2)
    runs = find_runs(root)
    names = ("spos", "strict_fair")
    return {name: curves.accuracy_curve([run for run in runs if run.sampler == name]) for name in names}


def test_accuracy_is_drawn_in_percent_against_both_costs(accuracy: Tables) -> None:
    steps, passes = png.draw(figures.accuracy_curves(accuracy, "running")).axes
    assert (steps.get_xlabel(), passes.get_xlabel()) == ("supernet steps", "backward passes")
    assert steps.get_ylabel() == "one-shot accuracy, % (BN running)"
    fair = next(line for line in passes.lines if line.get_label() == "Strict fairness")
    assert np.asarray(fair.get_xdata())[-1] == 360
    assert 80 < float(np.asarray(fair.get_ydata())[-1]) < 100
    assert to_hex(str(fair.get_color())) == COLOURS["strict_fair"].lower()


def test_png_and_page_use_the_same_colours(accuracy: Tables) -> None:
    page = html.draw(figures.accuracy_curves(accuracy))
    drawn = {trace.name: trace.line.color for trace in page.data if trace.mode == "lines"}
    assert drawn == {"Strict fairness": COLOURS["strict_fair"], "SPOS": COLOURS["spos"]}


def test_histogram_counts_every_path(tmp_path: Path) -> None:
    scores = np.linspace(0.6, 0.8, 243)
    chart = figures.histogram(scores, "one run")
    figure = png.draw(chart)
    assert sum(bar.get_height() for bar in figure.axes[0].containers[0]) == 243
    assert "243 paths: mean 70.0 %" in figure.axes[0].get_title(loc="left")
    assert png.save(chart, tmp_path / "new" / "histogram.png").stat().st_size > 5000


def test_histograms_show_shares_over_common_bins() -> None:
    figure = png.draw(figures.accuracy_histograms({"spos": [0.5, 0.6, 0.7], "ef": [0.1] * 9}))
    for axes in figure.axes:
        assert sum(bar.get_height() for bar in axes.containers[0]) == pytest.approx(100)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_equal_scores_still_make_bins(values: list[float]) -> None:
    assert (np.diff(figures.bin_edges(values)) > 0).all()
    png.draw(figures.histogram(values))


def test_lemma_figure_marks_f_of_2_and_20() -> None:
    (axes,) = png.draw(figures.lemma_figure()).axes
    assert [text.get_text() for text in axes.texts] == ["f(2, 20) = 0.176"]
    assert [line.get_label() for line in axes.lines][:3] == ["m = 2", "m = 3", "m = 6"]


def test_scatter_has_a_panel_per_method_with_data() -> None:
    points = pd.DataFrame({"arch": ["0", "1"], "accuracy": [0.5, 0.6], "truth": [0.7, 0.8]})
    figure = png.draw(figures.scatter(dict.fromkeys("abcde", points) | {"f": points[:0]}))
    assert sum(axes.get_visible() for axes in figure.axes) == 5


@pytest.mark.parametrize("describe", [figures.accuracy_curves, figures.spread_curves])
def test_empty_curves_can_be_drawn(describe: Callable[[Tables], Chart], tmp_path: Path) -> None:
    chart = describe({"spos": pd.DataFrame(columns=curves.CURVE, dtype=float)})
    png.save(chart, tmp_path / "empty.png")
    html.draw(chart)


@pytest.mark.parametrize("describe", [figures.accuracy_histograms, figures.scatter])
def test_nothing_can_be_drawn(describe: Callable[[dict[str, object]], Chart]) -> None:
    png.draw(describe({}))
    html.draw(describe({}))
