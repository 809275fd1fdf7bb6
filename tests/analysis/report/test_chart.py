"""The PNG and the page's chart of every figure come from one description: the same series, names and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.analysis.report import html, png
from src.analysis.report.chart import Chart, ColourScale, Line, Matrix, Points, legend_entries, rows_of
from src.analysis.report.figures import histogram, lemma_figure
from src.analysis.report.group_charts import group_charts
from src.analysis.report.groups import group_runs
from src.analysis.report.runs import find_runs
from src.analysis.report.search_figures import front_figure, hypervolume_figure
from src.analysis.report.similarity_figures import (
    channel_matrices,
    channel_matrices_to_first,
    choice_matrices,
    choice_matrix,
)
from src.analysis.report.study_figures import ranks_figure, training_figure
from tests.analysis.report.made_runs import make_run, make_sweep

GENERATOR = np.random.default_rng(0)
NETWORKS = pd.DataFrame(
    {
        "arch": [f"a{i}" for i in range(6)],
        "generation": [1, 1, 2, 2, 3, 3],
        "accuracy": [0.5, 0.6, 0.55, 0.7, 0.65, 0.72],
        "macs": [1e6, 2e6, 1.5e6, 3e6, 2.5e6, 4e6],
        "params": [1e4, 2e4, 1.5e4, 3e4, 2.5e4, 4e4],
    }
)
GENERATIONS = pd.DataFrame(
    {"models": [2, 4, 6], "hypervolume": [0.2, 0.3, 0.4], "true_hypervolume": [0.1, np.nan, 0.9]}
)
TRAINING = pd.DataFrame({"epoch": [1, 2, 3], "train/accuracy": [0.2, 0.5, 0.6], "val/accuracy": [None, 0.4, 0.5]})
SIMILARITY = GENERATOR.uniform(-1, 1, (5, 3, 3))
NAMES = ["pool", "conv", "skip"]

CHARTS = {
    "histogram": histogram(GENERATOR.random(50), "one run"),
    "lemma": lemma_figure(),
    "ranks": ranks_figure([0.7, 0.5, 0.6], [0.9, 0.8, 0.7], {"value": 0.67, "low": -1.0, "high": 1.0}),
    "training": training_figure([TRAINING, TRAINING], [0.6, 0.7]),
    "front": front_figure(NETWORKS, NETWORKS[3:], NETWORKS[5:], "accuracy", ["macs", "params"]),
    "hypervolume": hypervolume_figure(GENERATIONS),
    "choices": choice_matrix(SIMILARITY[0], NAMES),
    "choices_by_channel": choice_matrices(SIMILARITY, NAMES),
    "channels": channel_matrices(SIMILARITY[:3], NAMES),
    "channels_to_first": channel_matrices_to_first(SIMILARITY[:2], NAMES),
}


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chart]:
    root = make_sweep(tmp_path_factory.mktemp("runs"), ("strict_fair", "spos"), seeds=2)
    make_run(root / "going", "ef", 0, finished=False)
    (group,) = group_runs(find_runs(root))
    return CHARTS | group_charts(group, "recalibrate")


def test_every_figure_is_drawn_alike_by_both(charts: dict[str, Chart]) -> None:
    assert len(charts) == len(CHARTS) + 8
    for name, chart in charts.items():
        figure, page = png.draw(chart), html.draw(chart)
        assert len(list(legend_entries(chart))) == sum(bool(trace.showlegend) for trace in page.data), name
        legend = [text.get_text() for each in figure.legends for text in each.get_texts()]
        assert legend == [trace.name for trace in page.data if trace.showlegend], name
        shown = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
        assert len(shown) == len(chart.all_panels)
        lines: list[Any] = [line for axes in shown for line in axes.get_lines()]
        on_page = [
            trace for trace in page.data if trace.type == "scatter" and "lines" in (trace.mode or "") and trace.x
        ]
        described = [s for panel in chart.all_panels for s in panel.series if isinstance(s, Line) and len(s.x)]
        in_png = [line for line in lines if matches(line.get_xdata(), line.get_ydata(), described)]
        assert len(in_png) == len(described), name
        for series, trace in zip(described, on_page, strict=True):
            np.testing.assert_allclose(np.array(trace.y, float), series.y, rtol=1e-5, err_msg=name)
            assert trace.name == series.name and trace.line.color == series.colour
            assert len(series.hover) in (0, len(series.x))


def matches(x: Any, y: Any, described: list[Line]) -> bool:
    """Whether one of the described lines has just these points."""
    return any(
        len(x) == len(line.x) and np.array_equal(x, line.x) and np.array_equal(y, line.y, equal_nan=True)
        for line in described
    )


def test_dots_and_cells_are_the_same_too(charts: dict[str, Chart]) -> None:
    for name, chart in charts.items():
        figure, page = png.draw(chart), html.draw(chart)
        dots = [s for p in chart.all_panels for s in p.series if isinstance(s, Points) and not s.half]
        drawn = [
            c.get_offsets() for axes in figure.axes for c in axes.collections if type(c).__name__ == "PathCollection"
        ]
        on_page = [
            trace
            for trace in page.data
            if trace.type == "scatter" and trace.mode == "markers" and not trace.error_y.array
        ]
        for series, offsets, trace in zip(dots, drawn, on_page, strict=True):
            np.testing.assert_allclose(np.asarray(offsets), np.stack([series.x, series.y], 1), err_msg=name)
            np.testing.assert_allclose(trace.x, series.x, rtol=1e-5, err_msg=name)
        cells = [s.rows for p in chart.all_panels for s in p.series if isinstance(s, Matrix)]
        images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        maps = [trace.z for trace in page.data if trace.type == "heatmap"]
        for rows, image, values in zip(cells, images, maps, strict=True):
            assert np.array_equal(np.asarray(image), rows)
            np.testing.assert_allclose(np.array(values, float), rows, rtol=1e-5)


def test_charts_say_how_to_read_them(charts: dict[str, Chart], tmp_path: Path) -> None:
    assert all(chart.title and chart.reading.endswith(".") for chart in charts.values())
    for name in ("accuracy_histograms", "one_shot_against_truth", "seeds_against_seeds"):
        chart = charts[name]
        labels = [chart.x_label, chart.y_label, *(panel.x.label for panel in chart.all_panels)]
        assert any("accuracy" in text and "BN recalibrate" in text for text in labels)
    png.save(charts["lemma"], tmp_path / "lemma.png")
    assert b"FairNAS Figure 4" in (tmp_path / "lemma.png").read_bytes()


def test_a_scale_is_even_between_its_stops() -> None:
    scale = ColourScale("", 0, 2, ("#000000", "#ff0000", "#ffffff"))
    assert [scale.colour(value) for value in (-1, 0, 0.5, 1, 2)] == [
        "#000000",
        "#000000",
        "#800000",
        "#ff0000",
        "#ffffff",
    ]


def test_a_short_row_is_filled_up() -> None:
    chart = CHARTS["lemma"]
    (panel,) = chart.all_panels
    assert rows_of([panel] * 3, 2) == ((panel, panel), (panel, None))


def test_titles_of_axes_fit_the_page(charts: dict[str, Chart]) -> None:
    """Plotly cuts off what is longer than the chart."""
    for name, chart in charts.items():
        figure = html.draw(chart)
        height = html.PIXELS * chart.size[1] / len(chart.panels)
        wide = [axis.title.text or "" for axis in figure.select_xaxes()] if len(chart.panels[0]) == 1 else []
        for text, pixels in [
            *((text, html.HALF_PAGE) for text in wide),
            *((axis.title.text or "", height) for axis in figure.select_yaxes()),
        ]:
            assert max(map(len, text.split("<br>"))) * html.LETTER <= pixels, (name, text)
