"""A retraining that was cut short and resumed is the one that was not: weights, averages, metrics."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from src.retrain import main
from src.runtime.launch import launch
from src.runtime.run_folder import METRICS, RESULT, WALL_CLOCK
from src.runtime.stored_run import checkpoint_path
from src.standalone.retraining.module import Retraining
from tests.datasets.made_images import make_split
from tests.test_resume import Killed, assert_equal

SHORT = ["logger=csv", "batch_size=200", "journal.rows=10", "journal.validations=4", "save_every=0"]
ALL = ["recipe=mnasnet", "recipe.drop_path=0.3", "recipe.drop_path_grows=epochs", "recipe.erase=0.5"]
ALL += ["recipe.cutout=3", "recipe.clip_norm=1", "recipe.decay_epochs=0.3", "recipe.warmup_epochs=0.5"]
STEPS = 6  # one and a half epochs of 4 steps


def retrain(folder: Path, *arguments: str, steps: int = STEPS) -> int:
    return launch("retrain", main, [*SHORT, f"budget.steps={steps}", f"hydra.run.dir={folder}", *arguments])


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., torch.Tensor] = Retraining.training_step

    def dying(self: Retraining, *arguments: object) -> torch.Tensor:
        if self.steps == step:
            raise Killed
        return original(self, *arguments)

    monkeypatch.setattr(Retraining, "training_step", dying)


def assert_same_run(one: Path, other: Path) -> None:
    states = [torch.load(checkpoint_path(folder), weights_only=True) for folder in (one, other)]
    for state in states:
        del state["fairpath"]["seconds"]  # wall clock
    for part in ("state_dict", "fairpath", "optimizer_states"):
        assert_equal(states[0][part], states[1][part], part)
    tables = [pd.read_csv(folder / METRICS).drop(columns=list(WALL_CLOCK)) for folder in (one, other)]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    weights = [torch.load(folder / "weights.pt", weights_only=True) for folder in (one, other)]
    assert_equal(weights[0], weights[1], "weights.pt")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Path]:
    """The uninterrupted run of some arguments, trained once."""
    folder, known = tmp_path_factory.mktemp("whole"), dict[str, Path]()

    def run(arguments: list[str]) -> Path:
        key = " ".join(arguments)
        if key not in known:
            known[key] = folder / str(len(known))
            assert retrain(known[key], *arguments) == 0
        return known[key]

    return run


@pytest.mark.parametrize(
    ("recipe", "killed_at"),
    [([], 5), (ALL, 4), pytest.param(ALL, 1, marks=pytest.mark.slow), pytest.param(ALL, 5, marks=pytest.mark.slow)],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    recipe: list[str],
    killed_at: int,
    whole: Callable[[list[str]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["arch=2-2-1-2-2", *recipe]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(killed_at, patch)
        retrain(tmp_path / "cut", *arguments)
    assert retrain(tmp_path / "cut", f"resume={tmp_path}/cut") == 0
    assert_same_run(whole(arguments), tmp_path / "cut")


def test_with_policies_by_workers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_split(tmp_path / "images", size=16)
    data = ["dataset=image_folder", f"dataset.root={root}", "dataset.val=6", "dataset.memory_limit_mb=0"]
    arguments = ["arch=1-2-1-2-1", "recipe.auto_augment=rand-m9-mstd0.5", "recipe.color_jitter=0.4", "batch_size=8"]
    arguments += [*data, "dataset.workers=0", "save_every=1000"]  # the checkpoint after the first step alone
    assert retrain(tmp_path / "whole", *arguments, steps=7) == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(5, patch)
        retrain(tmp_path / "cut", *arguments, steps=7)
    assert retrain(tmp_path / "cut", *arguments, f"resume={tmp_path}/cut", steps=7) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_larger_budget_goes_on_under_its_own_schedule(tmp_path: Path) -> None:
    arguments = ["arch=1-1-1-1-1", "recipe.warmup_epochs=0.25"]  # a step
    assert retrain(tmp_path / "run", *arguments, steps=4) == 0
    assert retrain(tmp_path / "run", f"resume={tmp_path}/run", steps=10) == 0
    assert retrain(tmp_path / "whole", *arguments, steps=10) == 0
    rates = [pd.read_csv(tmp_path / name / METRICS).set_index("step")["train/lr"] for name in ("run", "whole")]
    late = [step for step in rates[1].index if step > 4]
    assert len(late) > 4
    assert rates[0][late].tolist() == pytest.approx(rates[1][late].tolist())


def test_a_finished_run_is_left_alone_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(tmp_path / "run", "arch=1-2-1-2-1", steps=3) == 0
    before = (tmp_path / "run" / RESULT).read_text()
    capsys.readouterr()
    assert launch("retrain", main, [f"resume={tmp_path}/run"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert (tmp_path / "run" / RESULT).read_text() == before
    for other in ("arch=0-0-0-0-0", "recipe.lr=1", "recipe=mnasnet", "seed=3"):
        assert launch("retrain", main, [f"resume={tmp_path}/run", "budget.steps=5", other]) == 2
        error = capsys.readouterr().err
        assert len(error.strip().splitlines()) == 1
        assert other.partition("=")[0] in error


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrain(tmp_path / "run", "arch=1-2-1-2-1", "recipe.lr=1e30", "recipe.warmup_epochs=0") == 1
    assert "recipe.lr" in capsys.readouterr().err
    state = torch.load(checkpoint_path(tmp_path / "run"), weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert not (tmp_path / "run" / RESULT).exists()


def test_ctrl_c_finishes_the_step_saves_and_exits_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original: Callable[..., torch.Tensor] = Retraining.training_step

    def interrupted(self: Retraining, *arguments: object) -> torch.Tensor:
        if self.steps == 3:
            signal.raise_signal(signal.SIGINT)
        return original(self, *arguments)

    monkeypatch.setattr(Retraining, "training_step", interrupted)
    assert retrain(tmp_path / "run", "arch=1-2-1-2-1", "save_every=1000") == 130
    assert f"interrupted after step 4; resume it with resume={tmp_path}/run" in capsys.readouterr().err
    assert torch.load(checkpoint_path(tmp_path / "run"), weights_only=True)["fairpath"]["steps"] == 4
    assert not (tmp_path / "run" / RESULT).exists()
