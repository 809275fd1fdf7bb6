"""The time a run will take, said once its first steps are measured; and a batch no larger than the training part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src import retrain, train
from src.runtime.launch import launch
from src.runtime.run_folder import RESULT, read_json
from src.supernet.evaluator import Evaluator
from src.training import estimate
from src.training.budget import Budget, fitting_batch
from src.training.estimate import Estimate, Scoring, in_words, whole_paths
from tests.datasets.made_images import make_classes


def test_a_long_run_is_told_its_time() -> None:
    # 2,250 steps of 12 s with 3 passes of 100 images: a forward pass of one takes 12 / 900 s
    scoring = Scoring(validations=20, each=1000, at_the_end=9000)
    line = Estimate(Budget(2250, 10, 6750), lambda: scoring).line(12.0, 0, 100)
    assert line is not None
    seconds = 2250 * 12 + (20 * 1000 + 9000) * 12 / 900
    assert f"about {in_words(seconds)} to go: 2,250 steps of 12 s, 6 min of scoring" in line
    # resumed in the middle, half of the validations are left
    line = Estimate(Budget(2250, 10, 6750), lambda: scoring).line(12.0, 1125, 100)
    assert line is not None and f"about {in_words(1125 * 12 + (10 * 1000 + 9000) * 12 / 900)} to go" in line


def test_a_short_run_is_not() -> None:
    assert Estimate(Budget(100, 10, 300), lambda: Scoring(20, 10, 10)).line(0.01, 5, 100) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(40, "40 s"), (119, "2 min"), (720, "12 min"), (24_600, "6 h 50 min"), (7_199, "2 h 0 min")]
)
def test_times_are_read_at_a_glance(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_common_prefixes_cost_once() -> None:
    assert whole_paths([(0, 0), (0, 1)], [1, 2], [1.0, 1.0]) == 3 / 2
    assert whole_paths([(0, 0), (1, 1)], [1, 2], [1.0, 1.0]) == 2
    assert whole_paths([(0, 0), (0, 1)], [1, 2], [9.0, 1.0]) == 11 / 10
    # cells: the first block depends on two choices, the others on all; no block is a layer
    assert whole_paths([(0, 0, 0), (0, 0, 1)], [2, 3], [9.0, 1.0, 1.0]) == 3 / 2


SHORT = ["batch_size=20", "validation.paths=2", "ranking.paths=3", "benchmark=none", "logger=csv"]


def test_both_kinds_of_training_say_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimate, "MEASURED", 0.0)
    monkeypatch.setattr(estimate, "WORTH_SAYING", 0.0)
    scored: list[Any] = []
    scores = Evaluator.scores

    def counting(self: Evaluator, paths: Any) -> Any:
        before = self.block_evaluations
        yield from scores(self, paths)
        scored.append((self.block_evaluations - before) / 5 * (self.images + min(300, 1000)))

    monkeypatch.setattr(Evaluator, "scores", counting)
    planned: list[Scoring] = []
    made = Estimate.__init__

    def noting(self: Estimate, budget: Budget, scoring: Callable[[], Scoring]) -> None:
        planned.append(scoring())
        made(self, budget, scoring)

    monkeypatch.setattr(Estimate, "__init__", noting)
    monkeypatch.setattr(
        estimate, "whole_paths", lambda paths, depths, _: whole_paths(paths, depths, [1.0] * len(depths))
    )
    run = tmp_path / "run"
    few = ["validation.calibration_images=300", "ranking.calibration_images=300", "ranking.bn=recalibrate"]
    asked = [*SHORT, *few, "budget.steps=4", "journal.validations=1", f"hydra.run.dir={run}"]
    assert launch("train", train.main, asked) == 0
    assert capsys.readouterr().out.count(" to go: 2 steps of ") == 1
    # what was planned is what was scored: one validation of separate paths, then the ranking
    assert scored[1] == pytest.approx(planned[0].at_the_end)
    assert planned[0].each >= scored[0]
    alone = [f"run={run}", "arch=0-0-0-0-0", "budget.steps=4", "logger=csv", f"hydra.run.dir={tmp_path / 'alone'}"]
    assert launch("retrain", retrain.main, alone) == 0
    assert capsys.readouterr().out.count(" to go: 2 steps of ") == 1


def test_the_usual_batch_is_no_larger_than_a_small_training_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert fitting_batch(256, 256, 176) == 176
    assert "batch_size=176 instead of the recipe's 256: the training part has 176 images" in capsys.readouterr().out
    assert fitting_batch(256, 256, 177, devices=2) == 176
    assert fitting_batch(256, 256, 256) == 256
    # one that was asked for is refused later, by the number that would do
    assert fitting_batch(512, 256, 176) == 512


def test_a_small_folder_is_trained_and_resumed_with_default_batches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_classes(tmp_path / "images", 10)
    run, alone = tmp_path / "run", tmp_path / "alone"
    short = [argument for argument in SHORT if not argument.startswith("batch_size")]
    data = ["dataset=image_folder", f"dataset.root={tmp_path / 'images'}", "dataset.cache=null"]
    asked = [*data, *short, "budget.steps=2", f"hydra.run.dir={run}"]
    assert launch("train", train.main, asked) == 0
    assert "batch_size=21 instead of the recipe's 100" in capsys.readouterr().out
    assert launch("train", train.main, [f"resume={run}", "budget.steps=3"]) == 0
    more = [f"run={run}", "arch=0-0-0-0-0", "budget.steps=1", "logger=csv", f"hydra.run.dir={alone}"]
    assert launch("retrain", retrain.main, more) == 0
    result = read_json(alone / RESULT)
    assert result is not None and result["batch_size"] == 21
    capsys.readouterr()
    assert launch("train", train.main, [*asked[:-1], "batch_size=90", f"hydra.run.dir={tmp_path / 'other'}"]) == 2
    assert "use at most 21" in capsys.readouterr().err
