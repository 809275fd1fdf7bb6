from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from src.analysis.report import html, png
from src.analysis.report.agreement import DRAWN, PAIRS, agreements, seed_scores
from src.analysis.report.chart import Chart
from src.analysis.report.groups import Group, group_runs
from src.analysis.report.improvement_figures import improvement_and_tau, improvement_figure, ticks
from src.analysis.report.pairs_figures import correlations, pairs_figure
from src.analysis.report.runs import find_runs
from src.analysis.report.selection import Selection, selection
from src.analysis.report.style import COLOURS, WEIGHTS
from tests.analysis.report.made_runs import PATHS, make_run, make_variants, set_scores

METHODS = ["SPOS", "SPOS, bias D=1", "SPOS, split at 50 %"]
COUNTS = ["counting parameters", "counting multiply-adds"]


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    """Three methods of three seeds, and one that has not finished."""
    root = make_variants(tmp_path_factory.mktemp("variants"), ("none", "bias", "split"))
    make_run(root / "going", "spos", 0, finished=False, inter_choice="attention")
    (group,) = group_runs(find_runs(root))
    return group


@pytest.fixture(scope="module")
def pruned(group: Group) -> Selection:
    return selection(group, "recalibrate")


@pytest.mark.parametrize("least", [10, 1])
def test_a_line_per_method_and_count_until_the_least(pruned: Selection, least: int) -> None:
    (axes,) = png.draw(improvement_figure(pruned, least)).axes
    drawn = {str(line.get_label()): line for line in axes.lines if len(np.asarray(line.get_xdata()))}
    assert list(drawn) == [*METHODS, *COUNTS]
    assert axes.get_xlim() == (len(PATHS), least) and axes.get_xscale() == "log"
    for line in drawn.values():
        assert (np.asarray(line.get_xdata())[0], np.asarray(line.get_xdata())[-1]) == (len(PATHS), least)
    assert np.asarray(drawn["SPOS"].get_ydata())[0] == pytest.approx(100 * np.mean(truths(pruned)))
    assert to_hex(str(drawn["SPOS"].get_color())) == COLOURS["spos"].lower()
    assert to_hex(str(drawn["SPOS, bias D=1"].get_color())) == WEIGHTS["bias"][0].lower()


def truths(pruned: Selection) -> float:
    assert pruned.ends is not None
    return pruned.ends[0]


def test_accuracy_is_read_as_improvement_on_the_right(pruned: Selection) -> None:
    figure = png.draw(improvement_figure(pruned))
    figure.draw_without_rendering()
    (right,) = figure.axes[0].child_axes
    zero, one = (100 * end for end in pruned.ends or ())
    low, high = figure.axes[0].get_ylim()
    assert right.get_ylim() == pytest.approx(((low - zero) / (one - zero), (high - zero) / (one - zero)))


def test_improvement_stands_above_tau(pruned: Selection) -> None:
    above, below = png.draw(improvement_and_tau(pruned)).axes
    lengths = [len(np.asarray(line.get_xdata())) for line in below.lines]
    assert sum(length > 2 for length in lengths) == len(METHODS)  # the others: unfinished, and the line at 0
    assert above.get_xlim() == below.get_xlim() == (len(PATHS), 10)
    assert np.asarray(above.lines[0].get_ydata())[0] == pytest.approx(0)


@pytest.mark.parametrize("describe, lines", [(improvement_figure, 5), (improvement_and_tau, 8)])
def test_the_page_shows_the_same_lines(pruned: Selection, describe: Callable[[Selection], Chart], lines: int) -> None:
    figure = html.draw(describe(pruned))
    assert sum(trace.mode == "lines" and bool(trace.x) for trace in figure.data) == lines
    shown = [trace.name for trace in figure.data if trace.name and trace.x and trace.showlegend]
    assert shown == [*METHODS, *COUNTS]


@pytest.mark.parametrize(
    "n, least, expected",
    [
        (64, 10, [10, 20, 30, 50, 64]),
        (1000, 10, [10, 20, 50, 100, 200, 500, 1000]),
        (12, 1, [1, 2, 3, 5, 12]),
        (6561, 10, [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 6561]),
    ],
)
def test_ticks_are_round_and_keep_clear_of_all(n: int, least: int, expected: list[int]) -> None:
    assert ticks(n, least) == expected


def test_pairs_have_a_panel_per_method_and_pair(group: Group, tmp_path: Path) -> None:
    pairs = agreements(group, "recalibrate")
    chart = pairs_figure(pairs)
    figure = png.draw(chart)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3 * 3
    titles = [axes.get_title(loc="left").split("\n") for axes in shown]
    assert [title[0] for title in titles] == [name for method in METHODS for name in (method, "", "")]
    assert titles[1][1] == correlations(pairs["spos"].consistency["pairs"][1])
    assert len(np.asarray(shown[0].collections[0].get_offsets())) == len(PATHS)
    assert (shown[1].get_xlabel(), shown[1].get_ylabel()) == ("seed 0", "seed 2")
    assert png.save(chart, tmp_path / "pairs.png").stat().st_size > 5000
    assert sum(trace.mode == "markers" for trace in html.draw(chart).data) == 9


def test_large_scorings_and_many_seeds_are_drawn_in_part(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for seed in range(5):
        set_scores(make_run(tmp_path / str(seed), "spos", seed), generator.random(400).tolist())
    (group,) = group_runs(find_runs(tmp_path))
    agreement = agreements(group, "recalibrate")["spos"]
    assert (len(agreement), len(agreement.drawn_pairs()), agreement.consistency["n"]) == (10, PAIRS, 400)
    assert [pair["seeds"] for _, _, pair in agreement.drawn_pairs()][-1] == [1, 3]
    assert all(len(x) == len(y) == DRAWN for x, y, _ in agreement.drawn_pairs())


def test_a_single_seed_agrees_with_nobody(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 1, finished=False)
    (group,) = group_runs(find_runs(tmp_path))
    assert agreements(group, "recalibrate") == {}


def test_a_seed_that_was_run_twice_counts_once(tmp_path: Path) -> None:
    for name, first in (("a", 0.1), ("b", 0.3)):
        set_scores(make_run(tmp_path / name, "spos", 7), [first, 0.2])
    table = seed_scores(find_runs(tmp_path), "recalibrate")
    assert list(table) == [7] and table[7].tolist() == [0.1, 0.2]


def test_undefined_correlations_are_a_dash() -> None:
    assert correlations({"tau": None, "pearson": 0.5, "spearman": -0.25}) == "τ –, r 0.50, ρ -0.25"
