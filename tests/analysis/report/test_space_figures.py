from pathlib import Path

import pandas as pd

from src.analysis.report.chart import Matrix
from src.analysis.report.group_charts import space_charts
from src.analysis.report.groups import group_runs
from src.analysis.report.png import draw
from src.analysis.report.runs import TrainingRun, find_runs
from src.analysis.report.space_curves import likeliest, updates_of_slices
from src.runtime.run_folder import COUNTS, IMPORTANCE, IMPORTANCE_COLUMNS, append_rows
from tests.analysis.report.made_runs import make_run

RANGES = [["1-2", "3-4"], ["1-8", "9-16"]]


def make_search(folder: Path, seed: int, last: tuple[float, float]) -> TrainingRun:
    """A search of one stage: probability of the second range of depth and width after the last of two epochs."""
    run = make_run(folder, "network_space_search", seed, cost__of="macs", cost__target=5e5)
    rows = []
    for epoch, likely in ((0, (0.5, 0.5)), (1, last)):
        rows.append({"step": 10, "epoch": epoch, "figure": "expected_macs", "value": 6e5})
        for layer, p in enumerate(likely):
            for choice, name in enumerate(RANGES[layer]):
                cell = {"layer": layer, "choice": choice, "name": name, "value": p if choice else 1 - p}
                rows.append({"step": 10, "epoch": epoch, "figure": "probability"} | cell)
    append_rows(run / IMPORTANCE, IMPORTANCE_COLUMNS, rows)
    counts = [{"step": 10, "layer": 0, "choice": c, "count": n} for c, n in enumerate((6, 2, 0, 2))]
    counts += [{"step": 10, "layer": 1, "choice": c, "count": 10 * (c == 4)} for c in range(16)]
    (run / COUNTS).write_text(pd.DataFrame(counts).to_csv(index=False))
    return find_runs(folder)[0]


def test_the_likeliest_ranges_are_those_of_the_last_epoch(tmp_path: Path) -> None:
    run = make_search(tmp_path / "a", 0, (0.3, 0.9))
    assert likeliest(run) == [(1, 2), (9, 16)]


def test_a_wide_network_trains_its_first_channels_too(tmp_path: Path) -> None:
    blocks, channels = updates_of_slices([make_search(tmp_path / "a", 0, (0.3, 0.9))])
    # six networks of one block, two of two, two of four; all of five channels
    assert blocks.to_dict("list") == {"value": [1, 2, 3, 4], "share": [100, 40, 20, 20]}
    assert channels["share"].tolist() == [100] * 5 + [0] * 11


def test_mixtures_are_left_out_of_the_networks_trained(tmp_path: Path) -> None:
    hard, soft = (make_search(tmp_path / name, 0, (0.3, 0.9)) for name in ("hard", "soft"))
    soft.config["sampler"]["weights"] = "soft"
    assert updates_of_slices([soft]) == []
    alone, both = updates_of_slices([hard]), updates_of_slices([hard, soft])
    assert all(one.equals(other) for one, other in zip(alone, both, strict=True))


def test_figures_of_spaces(tmp_path: Path) -> None:
    runs = [make_search(tmp_path / str(seed), seed, last) for seed, last in ((0, (0.2, 0.9)), (1, (0.4, 0.7)))]
    charts = space_charts(group_runs(runs)[0])
    assert set(charts) == {"spaces", "space_map", "probabilities", "expected_cost", "slices_trained"}
    # the product of both decisions, mean over seeds; the deepest range at the top
    (matrix,) = (series for series in charts["space_map"].all_panels[0].series if isinstance(series, Matrix))
    wide = (0.2 * 0.9 + 0.4 * 0.7) / 2, (0.8 * 0.9 + 0.6 * 0.7) / 2
    assert [round(row[1], 6) for row in matrix.rows] == [round(cell, 6) for cell in wide]
    for chart in charts.values():
        draw(chart)


def test_other_methods_have_no_figures_of_spaces(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    assert space_charts(group_runs(find_runs(tmp_path))[0]) == {}
