"""A run that was cut short and resumed is the run that was not: weights, counts, metrics, scores."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

from src import retrain, search
from src.ranking import after_training
from src.runtime.checkpoint import AtomicCheckpointIO
from src.runtime.elite_space import ELITE_SPACE
from src.runtime.launch import launch
from src.runtime.run_folder import (
    CONFIG,
    COUNTS,
    IMPORTANCE,
    METRICS,
    RESULT,
    SCORES,
    SPLIT,
    VALIDATION,
    WALL_CLOCK,
    claim,
)
from src.runtime.stored_run import checkpoint_path
from src.train import main
from src.training.step import SupernetStep
from tests.test_bad_input import check_one_line

SHORT = ["logger=csv", "benchmark=none", "batch_size=50", "dataset.val=797", "validation.paths=2", "ranking.paths=3"]
SHORT += ["validation.images=50", "validation.calibration_images=50", "journal.rows=10", "journal.validations=4"]
SHORT += ["ranking.images=50", "ranking.calibration_images=50", "save_every=0"]
STEPS = 20  # two and a half epochs of 8 steps


class Killed(Exception):
    """Stands for a kill: nothing of ours runs after it."""


@pytest.fixture(scope="module", autouse=True)
def _no_histograms() -> Iterator[None]:
    """Drawing them takes a fifth of such a run."""
    with mock.patch.object(after_training, "draw_histograms", return_value=[]):
        yield


def train(folder: Path, *arguments: str, steps: int = STEPS) -> int:
    return launch("train", main, [*SHORT, f"budget.steps={steps}", f"hydra.run.dir={folder}", *arguments])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The uninterrupted run of some arguments, trained once; for reading only."""
    folder, known = tmp_path_factory.mktemp("whole"), dict[tuple[str, ...], Path]()

    def run(*arguments: str, steps: int = STEPS) -> Path:
        key = (*arguments, f"steps={steps}")
        if key not in known:
            known[key] = folder / str(len(known)) / "run"
            assert train(known[key], *arguments, steps=steps) == 0
        return known[key]

    return run


@pytest.fixture
def finished(whole: Callable[..., Path], tmp_path: Path) -> Path:
    """A run of two steps that may be changed."""
    return copy_run(whole(steps=2), tmp_path / "run")


def copy_run(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    # the stored configuration names its folder
    stored = target / CONFIG
    stored.write_text(stored.read_text().replace(str(source), str(target)))
    return target


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., None] = SupernetStep.training_step

    def dying(self: SupernetStep, *arguments: object) -> None:
        if self.steps == step:
            raise Killed
        original(self, *arguments)

    monkeypatch.setattr(SupernetStep, "training_step", dying)


def assert_same_run(one: Path, other: Path) -> None:
    states = [torch.load(checkpoint_path(folder), weights_only=True) for folder in (one, other)]
    for state in states:
        del state["fairpath"]["seconds"]  # wall clock
    for part in ("state_dict", "fairpath", "optimizer_states"):
        assert_equal(states[0][part], states[1][part], part)
    wall_clock = {METRICS: list(WALL_CLOCK), SCORES: ["supernet"]}
    for name in (METRICS, COUNTS, VALIDATION, SCORES):
        tables = [pd.read_csv(folder / name).drop(columns=wall_clock.get(name, [])) for folder in (one, other)]
        pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    learnt = [(folder / IMPORTANCE).read_text() if (folder / IMPORTANCE).exists() else "" for folder in (one, other)]
    assert learnt[0] == learnt[1]


def assert_equal(one: object, other: object, where: str) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        assert len(one) == len(other), where
        for i, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_equal(mine, theirs, f"{where}.{i}")
    else:
        assert one == other, where


def cut_and_resumed(folder: Path, killed_at: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Path:
    """A run that was killed before it took the step after `killed_at`, and resumed."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(killed_at, patch)
        train(folder, *arguments)
    assert train(folder, *arguments, f"resume={folder}") == 0
    return folder


@pytest.mark.parametrize(
    ("sampler", "killed_at"),
    [
        ("strict_fair", 8),
        ("spos", 9),
        pytest.param("ef_scaled", 12, marks=pytest.mark.slow),
        pytest.param("strict_fair", 1, marks=pytest.mark.slow),
        pytest.param("one_shot", 19, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    sampler: str, killed_at: int, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [f"sampler={sampler}", "step.unsampled=drifting"]
    assert_same_run(whole(*arguments), cut_and_resumed(tmp_path / "cut", killed_at, monkeypatch, *arguments))


@pytest.mark.parametrize(
    ("sampler", "killed_at"),
    [
        ("strict_fair", 10),
        ("strict_fair", 11),
        *(pytest.param("strict_fair", step, marks=pytest.mark.slow) for step in (7, 15)),
        *(pytest.param("one_shot", step, marks=pytest.mark.slow) for step in (7, 10, 11, 15)),
    ],
)
def test_a_run_killed_around_the_split_ends_as_if_it_had_not_been(
    sampler: str, killed_at: int, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = [f"sampler={sampler}", "inter_choice=split"]  # after 10 of 20 steps
    assert_same_run(whole(*split), cut_and_resumed(tmp_path / "cut", killed_at, monkeypatch, *split))
    state = torch.load(checkpoint_path(tmp_path / "cut"), weights_only=True)["state_dict"]
    copies = [key for key in state if ".copies." in key]
    assert any(
        not torch.equal(state[key], state[key.replace(".copies.0.", ".choices.")])
        for key in copies
        if ".copies.0." in key
    )


@pytest.mark.parametrize(
    "option",
    ["attention", pytest.param("bias_2", marks=pytest.mark.slow), pytest.param("shared_bias", marks=pytest.mark.slow)],
)
def test_a_run_with_tables_goes_on_as_if_it_had_not_been_killed(
    option: str, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"inter_choice={option}", "inter_choice.weight_decay=0.1", "sampler=spos"]
    assert_same_run(whole(*settings), cut_and_resumed(tmp_path / "cut", 12, monkeypatch, *settings))


LEARNT = "order._target_=tests.datasets.learnt_order.ByLoss"


@pytest.mark.parametrize("killed_at", [11, *(pytest.param(at, marks=pytest.mark.slow) for at in (15, 16))])
def test_a_run_whose_order_learns_goes_on_as_if_it_had_not_been_killed(
    killed_at: int, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of its second epoch, before its last step, and at its end, of 8 steps each."""
    assert_same_run(whole(LEARNT), cut_and_resumed(tmp_path / "cut", killed_at, monkeypatch, LEARNT))
    # what it learnt did something: from the second epoch on it trains on other images than a shuffle
    learnt, shuffled = (pd.read_csv(run / METRICS)["train/loss"] for run in (whole(LEARNT), whole()))
    assert learnt.iloc[-1] != shuffled.iloc[-1]


@pytest.mark.parametrize(
    ("experiment", "inter_choice"),
    [
        ("pada", "attention"),
        *(
            pytest.param(*both, marks=pytest.mark.slow)
            for both in (("pada", "none"), ("pada_unbiased", "none"), ("pada_unbiased", "bias"), ("pada", "split"))
        ),
    ],
)
@pytest.mark.parametrize("killed_at", [11, pytest.param(16, marks=pytest.mark.slow)])
def test_a_run_that_samples_by_importance_goes_on_as_if_it_had_not_been_killed(
    experiment: str,
    inter_choice: str,
    killed_at: int,
    whole: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of its second epoch, and at its end; the third draws by what both have shown."""
    arguments = [f"experiment={experiment}", "sampler.smoothing_start=0.4", "order.smoothing_start=0.4"]
    arguments += [f"inter_choice={inter_choice}"]
    arguments += ["gradient_variance=true", "step.gradient_noise=1e-3"]
    assert_same_run(whole(*arguments), cut_and_resumed(tmp_path / "cut", killed_at, monkeypatch, *arguments))
    table = pd.read_csv(whole(*arguments) / IMPORTANCE)
    assert sorted(table.epoch.unique()) == [0, 1]
    # the second epoch drew by what the first had shown
    drawn = table[(table.figure == "probability") & (table.epoch == 1)].value
    assert drawn.nunique() > 5


SETTLES = ["ema=0.8", "stop=stable", "stable.agreement=-1", "stable.looks=2", "validation.paths=30"]
SETTLES += ["journal.validations=10"]  # after every other step: the third one ends the run


@pytest.mark.parametrize("killed_at", [5, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_that_averages_and_settles_goes_on_as_if_it_had_not_been_killed(
    killed_at: int, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_run(whole(*SETTLES), cut_and_resumed(tmp_path / "cut", killed_at, monkeypatch, *SETTLES))
    result = json.loads((whole(*SETTLES) / RESULT).read_text())
    assert (result["steps"], result["epochs"], result["backward_passes"]) == (6, 0.75, 18)


def test_a_settled_run_is_finished_and_goes_on_to_its_budget_when_asked(
    whole: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_run(whole(*SETTLES), tmp_path / "run")
    assert train(folder, *SETTLES, f"resume={folder}") == 0
    assert "is finished: 6 steps" in capsys.readouterr().out
    # on to the budget, on the schedule it had
    never_stopped = [argument for argument in SETTLES if not argument.startswith("stop")]
    assert train(folder, *never_stopped, "stop=budget", f"resume={folder}") == 0
    states = [
        torch.load(checkpoint_path(run), weights_only=True)["state_dict"] for run in (folder, whole(*never_stopped))
    ]
    assert_equal(states[0], states[1], "weights")


def test_an_average_that_forgets_all_scores_as_the_last_weights_do(whole: Callable[..., Path]) -> None:
    tables = [pd.read_csv(whole(*arguments) / SCORES).drop(columns="supernet") for arguments in (["ema=0"], [])]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)


@pytest.mark.parametrize("killed_at", [11, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_trains_an_architecture_goes_on_as_if_it_had_not_been_killed(
    killed_at: int, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of its third epoch, and in the warm-up of its weights, of five steps."""
    arguments = ["sampler=spos", "sampler._target_=tests.samplers.differentiable.Differentiable"]
    assert_same_run(whole(*arguments), cut_and_resumed(tmp_path / "cut", killed_at, monkeypatch, *arguments))
    # 400 images of training in two halves, stored as one part
    with np.load(whole(*arguments) / SPLIT) as stored:
        assert len(stored["train"]) == 400
    table = pd.read_csv(whole(*arguments) / METRICS)
    assert table["train/backward_passes"].iloc[-1] == 2 * STEPS - 5
    assert table["epoch"].iloc[-1] == STEPS / 4
    assert table["architecture/loss"].isna().sum() == table["step"].le(5).sum()
    assert table["architecture/entropy"].iloc[-1] < 1.09
    state = torch.load(checkpoint_path(whole(*arguments)), weights_only=True)
    assert any(key.startswith("architecture.") for key in state["state_dict"])
    assert len(state["optimizer_states"]) == 2


@pytest.mark.parametrize("weights", ["hard", pytest.param("soft", marks=pytest.mark.slow)])
def test_a_network_space_search_goes_on_as_if_it_had_not_been_killed(
    weights: str, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["experiment=nss", f"sampler.weights={weights}", "sampler.theta.lr=0.1", "step.unsampled=frozen"]
    assert_same_run(whole(*arguments), cut_and_resumed(tmp_path / "cut", 11, monkeypatch, *arguments))
    spaces = [(folder / ELITE_SPACE).read_text() for folder in (whole(*arguments), tmp_path / "cut")]
    assert spaces[0] == spaces[1]


def test_what_does_not_go_with_an_architecture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sampler=spos", "sampler._target_=tests.samplers.differentiable.Differentiable"]
    assert train(tmp_path / "run", *arguments, "order=data_importance") == 2
    check_one_line(capsys.readouterr().err, "order=shuffle")
    assert train(tmp_path / "run", *arguments, "trainer.precision=16-mixed") == 2
    check_one_line(capsys.readouterr().err, "bf16-mixed")


@pytest.mark.parametrize("way", ["serial", pytest.param("window", marks=pytest.mark.slow)])
def test_importance_without_a_share_is_spos_with_a_shuffle_bit_for_bit(way: str, whole: Callable[..., Path]) -> None:
    nothing = ["sampler.smoothing_end=0", "order.smoothing_end=0", f"step={way}"]
    importance = whole("experiment=pada_unbiased", *nothing)
    plain = whole("sampler=spos", f"step={way}")
    states = [torch.load(checkpoint_path(folder), weights_only=True) for folder in (importance, plain)]
    for part in ("state_dict", "optimizer_states"):
        assert_equal(states[0][part], states[1][part], part)
    for name, ignored in ((METRICS, list(WALL_CLOCK)), (COUNTS, []), (SCORES, ["supernet", "sampler"])):
        tables = [pd.read_csv(folder / name).drop(columns=ignored) for folder in (importance, plain)]
        pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)


def test_an_order_that_learns_needs_a_second_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "run", LEARNT, steps=8) == 2
    check_one_line(capsys.readouterr().err, "learns from one epoch for the next: give budget.epochs above 1")
    assert not (tmp_path / "run").exists()


def test_rows_written_after_the_checkpoint_are_not_kept_twice(
    whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = "save_every=1000"  # the only checkpoint is the one after the first step
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(15, patch)
        train(tmp_path / "cut", rare)
    assert pd.read_csv(tmp_path / "cut" / METRICS).step.max() > 10
    assert train(tmp_path / "cut", rare, f"resume={tmp_path}/cut") == 0
    assert_same_run(whole(rare), tmp_path / "cut")


def test_a_killed_scoring_goes_on(finished: Path) -> None:
    scores = (finished / SCORES).read_text()
    (finished / RESULT).unlink()
    (finished / SCORES).write_text(scores[: len(scores) // 2])
    assert train(finished, f"resume={finished}", steps=2) == 0
    assert (finished / SCORES).read_text() == scores


def test_a_finished_run_is_left_alone(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / RESULT).read_text()
    assert launch("train", main, [f"resume={finished}"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert (finished / RESULT).read_text() == before


def test_a_larger_budget_goes_on_with_a_finished_run(finished: Path) -> None:
    before = pd.read_csv(finished / SCORES)
    assert launch("train", main, [f"resume={finished}", "budget.steps=8"]) == 0
    assert pd.read_csv(finished / METRICS).step.max() == 8
    scores = pd.read_csv(finished / SCORES)
    assert scores.groupby("bn").path.count().eq(3).all()
    assert not scores.loss.equals(before.loss)  # those of the smaller budget are gone
    result = json.loads((finished / RESULT).read_text())
    assert result["steps"] == 8


@pytest.mark.parametrize("other", ["sampler=spos", "seed=4", "optimizer.lr=0.5", "search_space.stem=4"])
def test_a_contradicting_key_is_refused_by_name(other: str, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", main, [f"resume={finished}", "budget.steps=4", other]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert other.partition("=")[0] in error


def test_a_damaged_checkpoint_is_refused_by_name_and_the_previous_one_works(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = checkpoint_path(finished)
    last.write_bytes(last.read_bytes()[:-1000])
    again = [f"resume={finished}", "budget.steps=4"]
    assert launch("train", main, again) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert str(last) in error
    assert "checkpoint=previous" in error
    assert launch("train", main, [*again, "checkpoint=previous"]) == 0
    assert pd.read_csv(finished / METRICS).step.max() == 4


def test_a_changed_byte_in_a_checkpoint_is_noticed(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = checkpoint_path(finished)
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    assert launch("train", main, [f"resume={finished}", "budget.steps=6"]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_missing_checkpoint_beside_a_whole_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert train(folder, "save_every=1000", steps=1) == 0
    assert not checkpoint_path(folder, "previous").exists()
    rows = (folder / METRICS).read_text()
    capsys.readouterr()
    assert launch("train", main, [f"resume={folder}", "budget.steps=5", "checkpoint=previous"]) == 2
    assert "checkpoint=last" in capsys.readouterr().err
    assert (folder / METRICS).read_text() == rows


def test_saving_over_a_damaged_checkpoint_keeps_the_good_one(tmp_path: Path) -> None:
    last, previous = checkpoint_path(tmp_path), checkpoint_path(tmp_path, "previous")
    files = AtomicCheckpointIO()
    files.save_checkpoint({"step": 1}, last)
    files.save_checkpoint({"step": 2}, last)
    last.write_bytes(b"damaged")
    files.save_checkpoint({"step": 3}, last)
    assert [torch.load(path, weights_only=True)["step"] for path in (previous, last)] == [1, 3]


MAINS = {"train": main, "retrain": retrain.main, "search": search.main}


@pytest.mark.parametrize(
    ("command", "stored", "names"),
    [
        ("retrain", "choices: {searcher: moremnas, benchmark: mini}", "python -m src.search resume="),
        ("retrain", "choices: {sampler: spos}", "python -m src.train resume="),
        ("search", "choices: {sampler: spos}", "python -m src.train resume="),
        ("search", "choices: {recipe: mnasnet}", "python -m src.retrain resume="),
        ("train", "choices: {recipe: mnasnet}", "python -m src.retrain resume="),
        ("train", "seeds: 16", "written by another program, not by src.train"),
        ("train", "choices: [", "config.yaml cannot be read"),
        ("retrain", "\x00\x01", "config.yaml cannot be read"),
        ("search", "- 1", "config.yaml is not a configuration"),
    ],
)
def test_another_commands_folder_is_refused(
    command: str, stored: str, names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CONFIG).write_text(stored)
    arch = ["arch=0-0-0-0-0"] if command == "retrain" else []
    assert launch(command, MAINS[command], [f"resume={tmp_path}", "logger=csv", *arch]) == 2
    check_one_line(capsys.readouterr().err, names)
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG]


@pytest.mark.parametrize(
    ("command", "saved", "names"),
    [
        ("train", {"generation": 3}, "written by src.search, not by src.train"),
        ("train", {"fairpath": {"steps": 1}}, "written by src.retrain, not by src.train"),
        ("retrain", {"fairpath": {"steps": 1, "sampler": {}}}, "written by src.train, not by src.retrain"),
        ("retrain", {"state_dict": {}}, "written by another program, not by src.retrain"),
        ("retrain", [1, 2], "is not a checkpoint of a run"),
        ("train", None, "is not a checkpoint of a run"),
    ],
)
def test_another_commands_checkpoint_is_refused(
    command: str, saved: object, names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = checkpoint_path(tmp_path)
    last.parent.mkdir()
    if saved is None:
        with zipfile.ZipFile(last, "w") as archive:
            archive.writestr("notes.txt", "mine")
    else:
        torch.save(saved, last)
    arch = ["arch=0-0-0-0-0"] if command == "retrain" else []
    assert launch(command, MAINS[command], ["logger=csv", f"hydra.run.dir={tmp_path}", *arch]) == 2
    check_one_line(capsys.readouterr().err, names)


def test_two_processes_in_one_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    with claim(folder):
        assert train(folder, steps=2) == 2
    assert "another process" in capsys.readouterr().err
    assert not (folder / METRICS).exists()
    assert train(folder, steps=2) == 0


def test_a_changed_data_set_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(finished / SPLIT) as stored:
        parts = dict(stored)
    parts["val"] = parts["val"][::-1]
    np.savez(finished / SPLIT, **parts)
    assert launch("train", main, [f"resume={finished}", "budget.steps=4"]) == 2
    assert "start a new run" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["hydra.run.dir={}/other", "-m"])
def test_resume_with_another_folder_is_refused(
    where: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = f"hydra.sweep.dir={tmp_path}/sweep"
    assert launch("train", main, [*SHORT, f"resume={finished}", where.format(tmp_path), sweep]) == 2
    assert "resume=" in capsys.readouterr().err


def test_without_a_checkpoint_it_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert train(tmp_path / "run", f"resume={tmp_path}/run", steps=3) == 0
    assert (tmp_path / "run" / RESULT).exists()


PATIENCE = 300
"""Seconds until a process is held to be stuck."""


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "src.train", *SHORT, "save_every=0.3", f"hydra.run.dir={folder}", *arguments]
    errors = folder.with_suffix(".stderr")
    with errors.open("wb") as stderr:
        process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=stderr)
    # A process that imports torch on a loaded machine takes long: only its own end, or minutes, end the wait.
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if (folder / METRICS).exists() and len((folder / METRICS).read_text().splitlines()) > 4:
            return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"no metrics, exit code {process.wait()}: {errors.read_text()[-2000:]}")


@pytest.mark.slow
def test_kill_9_of_the_process(whole: Callable[..., Path], tmp_path: Path) -> None:
    budget = "budget.steps=80"
    process = start(tmp_path / "cut", budget)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert not (tmp_path / "cut" / RESULT).exists()
    assert launch("train", main, [*SHORT, budget, "save_every=0.3", f"resume={tmp_path}/cut"]) == 0
    assert_same_run(whole("save_every=0.3", steps=80), tmp_path / "cut")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_exits_130(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original: Callable[..., None] = SupernetStep.training_step

    def interrupted(self: SupernetStep, *arguments: object) -> None:
        if self.steps == 5:
            assert signal.getsignal(number) == self.stop.note  # and not Lightning's, which communicates in the handler
            signal.raise_signal(number)
        original(self, *arguments)

    monkeypatch.setattr(SupernetStep, "training_step", interrupted)
    assert train(tmp_path / "run", "save_every=1000") == 130
    assert f"interrupted after step 6; resume it with resume={tmp_path}/run" in capsys.readouterr().err
    saved = torch.load(checkpoint_path(tmp_path / "run"), weights_only=True)["fairpath"]
    assert saved["steps"] == 6
    assert saved["counts"].eq(6).all()
    assert not (tmp_path / "run" / RESULT).exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_gets_a_signal_saves_and_exits_130(number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path / "run", "budget.steps=4000", "save_every=1000")
    process.send_signal(number)
    assert process.wait(PATIENCE) == 130
    saved = torch.load(checkpoint_path(tmp_path / "run"), weights_only=True)["fairpath"]
    assert saved["steps"] > 1
    assert saved["counts"].eq(saved["steps"]).all()
