"""Tau against what may explain it, on made-up runs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from src.analysis.report.chart import Chart, Points
from src.analysis.report.explanation import MEASURES, explanation_figure, measures
from src.analysis.report.groups import group_runs
from src.analysis.report.runs import find_runs
from src.analysis.report.tables import long_rows
from src.runtime.run_folder import IMPORTANCE, IMPORTANCE_COLUMNS, RESULT, append_rows
from tests.analysis.report.made_runs import make_run


def record(folder: Path, figure: str, values: list[float]) -> None:
    rows = [{"step": 10 * (e + 1), "epoch": e, "figure": figure, "value": value} for e, value in enumerate(values)]
    append_rows(folder / IMPORTANCE, IMPORTANCE_COLUMNS, rows)


def made_table(taus: list[float], raw: list[float], **changes: str) -> pd.DataFrame:
    """A table.csv of single runs."""
    rows = pd.DataFrame({"tau": taus, "gradient_variance_raw": raw, "seed": range(len(taus))})
    rows[[figure for figure in MEASURES if figure != "gradient_variance_raw"]] = None
    names: dict[str, str] = {"comparison": "mini on digits, 4 epochs", "method": "spos"} | changes
    return rows.assign(comparison=names["comparison"], method=names["method"])


def dots(chart: Chart) -> list[Points]:
    """Of the first panel."""
    panel = chart.panels[0][0]
    return [] if panel is None else [series for series in panel.series if isinstance(series, Points)]


def test_medians_of_what_was_recorded_and_the_share_of_the_whole_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "spos", 0)
    assert set(measures(find_runs(tmp_path)[0]).values()) == {None}
    record(folder, "gradient_variance_raw", [9.0, 1.0, 2.0])
    record(folder, "parameter_free_share", [0.6, 0.2, 0.3])
    known = measures(find_runs(tmp_path)[0])
    assert known["gradient_variance_raw"] == 2 and known["gradient_variance_relative"] is None
    assert known["parameter_free_share"] == 0.3
    # what the result says of the whole run goes first
    result = json.loads((folder / RESULT).read_text())
    (folder / RESULT).write_text(json.dumps(result | {"parameter_free_share": 0.25}))
    assert measures(find_runs(tmp_path)[0])["parameter_free_share"] == 0.25
    (row, *_) = long_rows(group_runs(find_runs(tmp_path))[0])
    assert (row["gradient_variance_raw"], row["parameter_free_share"]) == (2, 0.25)


def test_a_measure_that_orders_the_runs_has_a_correlation_of_one() -> None:
    rows = pd.concat([made_table([0.1, 0.3], [1e-4, 3e-4]), made_table([0.2, 0.4], [2e-4, 9e-4], method="strict_fair")])
    chart = explanation_figure(rows)
    assert chart is not None
    ((panel, other),) = chart.panels
    assert panel is not None and other is None  # nothing is known of the other measures
    assert panel.title == "ρ 1.00 (4 runs)" and panel.x.log
    assert {series.name: series.y for series in dots(chart)} == {"SPOS": (0.1, 0.3), "Strict fairness": (0.2, 0.4)}


def test_settings_that_vary_between_comparisons_name_the_dots() -> None:
    tables = [
        made_table([0.1, 0.2], [3.0, 4.0], comparison=f"mini on digits, 4 epochs, noise={noise}") for noise in (0, 1)
    ]
    chart = explanation_figure(pd.concat(tables))
    assert chart is not None
    assert [series.name for series in dots(chart)] == ["SPOS, noise=0", "SPOS, noise=1"]


@pytest.mark.parametrize("raw", [[1.0] * 4, [1.0, 2.0, float("inf"), 3.0]])
def test_too_few_or_equal_values_draw_nothing(raw: list[float]) -> None:
    assert explanation_figure(made_table([0.1, 0.2, 0.3, 0.4], raw)) is None
