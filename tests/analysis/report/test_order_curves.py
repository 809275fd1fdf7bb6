from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.analysis.ranking import tau_b
from src.analysis.report.group_charts import group_charts
from src.analysis.report.groups import group_runs
from src.analysis.report.order_curves import order_curve, order_figure
from src.analysis.report.runs import TrainingRun, find_runs
from src.runtime.run_folder import METRICS, VALIDATION, VALIDATION_COLUMNS, append_rows
from tests.analysis.report.made_runs import make_run


def with_validations(folder: Path, paths: int = 40) -> tuple[TrainingRun, dict[int, pd.Series]]:
    """A run whose scored networks were looked at three times, more and more in the order of the last time."""
    run = find_runs(make_run(folder, "spos", 0))[0]
    archs = run.scores["arch"].drop_duplicates().head(paths).tolist()
    steps = pd.read_csv(folder / METRICS)["step"].tolist()[-3:]
    rng, last = np.random.default_rng(0), np.random.default_rng(1).random(paths)
    looks = {}
    for number, step in enumerate(steps):
        looks[step] = pd.Series(last + (2 - number) * rng.normal(size=paths), index=archs)
        rows = [{"step": step, "path": a, "arch": a, "accuracy": v, "loss": 1 - v} for a, v in looks[step].items()]
        append_rows(folder / VALIDATION, VALIDATION_COLUMNS, rows)
    return find_runs(folder)[0], looks


def test_each_look_is_compared_with_the_last_and_with_the_truth(tmp_path: Path) -> None:
    run, looks = with_validations(tmp_path / "a")
    curve = order_curve(run)
    steps = list(looks)
    assert curve["step"].tolist() == steps and curve["agreement"].iloc[-1] == 1
    assert curve["agreement"].iloc[0] == pytest.approx(tau_b(looks[steps[0]].to_numpy(), looks[steps[-1]].to_numpy()))
    truth = run.scores.drop_duplicates("arch").set_index("arch")["truth"].reindex(looks[steps[1]].index)
    assert curve["tau"].iloc[1] == pytest.approx(tau_b(looks[steps[1]].to_numpy(), truth.to_numpy()))
    metrics = run.metrics.set_index("step")
    np.testing.assert_array_equal(curve["passes"], metrics.loc[steps, "train/backward_passes"])


def test_a_figure_needs_enough_paths_and_two_looks(tmp_path: Path) -> None:
    few, _ = with_validations(tmp_path / "few", paths=20)
    assert order_curve(few).empty and order_figure({"spos": [few]}) is None
    none = find_runs(make_run(tmp_path / "none", "spos", 0))[0]
    assert order_figure({"spos": [none]}) is None
    run, _ = with_validations(tmp_path / "many" / "run")
    (group,) = group_runs([run])
    chart = group_charts(group, "recalibrate")["order_over_training"]
    assert len(chart.panels) == 2 and "counting parameters" in chart.reading
