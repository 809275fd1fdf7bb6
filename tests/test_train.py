"""A run as a whole: its files, its numbers, sweeps, W&B."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from src.rank import main as rank_main
from src.runtime.launch import launch
from src.runtime.run_folder import ARCHIVE, COUNTS, METRIC_COLUMNS, METRICS, RESULT, SCORE_COLUMNS, SCORES, VALIDATION
from src.runtime.stored_run import checkpoint_path
from src.search import main as search_main
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.train import main
from src.training.metrics_writer import LogSchedule
from src.training.trained_supernet import load_trained_supernet
from tests.conftest import drawing
from tests.test_bad_input import check_one_line

GOLDEN = Path(__file__).parent / "golden" / "loss_curve.json"
SHORT = ["validation.paths=2", "ranking.paths=4", "validation.calibration_images=50", "ranking.calibration_images=50"]


def train(folder: Path, *arguments: str) -> int:
    return launch("train", main, [*SHORT, "logger=csv", "benchmark=none", f"hydra.run.dir={folder}", *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["budget.steps=20", "journal.rows=20", "journal.validations=2", "benchmark=mini", "step=serial"]
    arguments += ["step.label_smoothing=0"]
    with drawing():
        assert train(folder, *arguments) == 0
    return folder


def test_twenty_steps_give_the_stored_losses(folder: Path) -> None:
    """What refactors must reproduce; the tolerance is for other processors and versions, whose rounding grows."""
    found, stored = pd.read_csv(folder / METRICS)["train/loss"].tolist(), json.loads(GOLDEN.read_text())
    assert found[:10] == pytest.approx(stored[:10], rel=1e-3)
    assert found == pytest.approx(stored, rel=1e-2)


def test_metrics_have_a_row_per_step_and_validations_where_they_are_due(folder: Path) -> None:
    metrics = pd.read_csv(folder / METRICS)
    assert tuple(metrics.columns) == METRIC_COLUMNS
    assert metrics.step.tolist() == list(range(1, 21))
    assert metrics[metrics["supernet/accuracy_mean"].notna()].step.tolist() == [10, 20]
    assert metrics["train/backward_passes"].tolist() == [3 * step for step in metrics.step]
    assert metrics["fairness/count_spread"].eq(0).all()


def test_counts_are_written_after_each_epoch_and_at_the_end(folder: Path) -> None:
    counts = pd.read_csv(folder / COUNTS)
    assert sorted(counts.step.unique()) == [8, 16, 20]  # 800 images in batches of 100
    assert (counts["count"] == counts.step).all()
    assert len(counts) == 3 * 15


def test_scores_join_the_benchmark_and_name_their_protocol(folder: Path) -> None:
    scores = pd.read_csv(folder / SCORES)
    assert tuple(scores.columns) == SCORE_COLUMNS
    assert scores.groupby("bn").arch.nunique().to_dict() == {"recalibrate": 4, "running": 4}
    assert scores.truth.between(0.3, 1).all()
    assert scores.split.eq("val").all()
    assert scores.images.eq(397).all()


def test_the_result_states_cost_and_worth(folder: Path) -> None:
    result = json.loads((folder / RESULT).read_text())
    assert (result["steps"], result["backward_passes"], result["epochs"]) == (20, 60, 2.5)
    assert result["count_spread"] == 0
    rankings = result["ranking"]["recalibrate"]
    assert result["ranked_by"] == "loss"
    assert list(rankings) == ["loss", "accuracy"]
    for by_score in rankings.values():
        assert set(by_score["all"]["baselines"]) == {"params", "macs", "mb_blocks", "e3_blocks"}
    assert rankings["loss"]["all"]["baselines"] == rankings["accuracy"]["all"]["baselines"]
    assert 0.5 < result["ceiling"]["all"]["value"] < 1
    assert (folder / "figures" / "histogram_recalibrate.png").stat().st_size > 5000


def test_the_stored_configuration_is_resolved(folder: Path) -> None:
    config = OmegaConf.load(folder / "config.yaml")
    assert config.optimizer.lr == config.recipe.lr
    assert config.choices.sampler == "strict_fair"
    assert "resume" not in config


def test_two_runs_of_one_seed_are_equal_and_another_seed_differs(folder: Path, tmp_path: Path) -> None:
    arguments = ["budget.steps=20", "journal.rows=20", "journal.validations=2", "step=serial", "step.label_smoothing=0"]
    curves = [pd.read_csv(folder / METRICS)["train/loss"].tolist()]
    for seed in (0, 1):
        assert train(tmp_path / str(seed), *arguments, f"seed={seed}") == 0
        curves.append(pd.read_csv(tmp_path / str(seed) / METRICS)["train/loss"].tolist())
    assert curves[0] == curves[1] != curves[2]


@pytest.mark.parametrize("sampler", ["spos", "ef", "ef_scaled", "one_shot", "fixed"])
def test_every_sampler_trains(sampler: str, tmp_path: Path) -> None:
    extra = ["sampler.paths=2-0-1-2-0"] if sampler == "fixed" else []
    assert train(tmp_path / "run", f"sampler={sampler}", "budget.steps=3", *extra) == 0
    result = json.loads((tmp_path / "run" / RESULT).read_text())
    assert result["backward_passes"] == {"ef": 9, "ef_scaled": 9}.get(sampler, 3)


@pytest.mark.parametrize(
    "space",
    [
        ["search_space=nas_bench_macro", "image_size=16"],
        ["search_space=nas_bench_201", "search_space.cells=1", "image_size=8"],
        pytest.param(
            [
                "search_space=proxyless",
                "search_space.channels=[8,8,8,8,8,8]",
                "image_size=16",
                "search_space.stem_stride=1",
                "search_space.strides=[1,2,2,1,2,1]",
            ],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_kind_of_space_trains(space: list[str], tmp_path: Path) -> None:
    small = ["batch_size=8", "validation.images=8", "ranking.images=8", "ranking.paths=2", "budget.steps=2"]
    assert train(tmp_path / "run", *space, *small, "ranking.bn=[running]") == 0


def test_a_sweep_goes_on_where_it_was_and_skips_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", "sampler=strict_fair,spos", "seed=0,1", "budget.steps=3", f"hydra.sweep.dir={tmp_path}/sweep"]
    sweep += ["benchmark=mini"]
    assert train(tmp_path, *sweep) == 0
    # a line for each job, which has its tau and folder; the tables are a report's
    out = capsys.readouterr().out
    lines = [
        line for line in out.splitlines() if re.search(r"one-shot accuracy [\d.]+ %.*; tau by loss -?[\d.]+", line)
    ]
    assert [Path(line.rpartition(" ")[2]).parent for line in lines] == [tmp_path / "sweep"] * 4
    assert "counting" not in out
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert folders == [
        "spos_mini_seed0",
        "spos_mini_seed1",
        "strict_fair_mini_seed0",
        "strict_fair_mini_seed1",
    ]
    (tmp_path / "sweep" / folders[2] / RESULT).unlink()
    capsys.readouterr()
    assert train(tmp_path, *sweep) == 0
    assert capsys.readouterr().out.count("is finished") == 3
    assert (tmp_path / "sweep" / folders[2] / RESULT).exists()


def test_a_sweep_refuses_a_folder_of_another_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", "seed=0,1", "budget.steps=2", f"hydra.sweep.dir={tmp_path}/sweep"]
    assert train(tmp_path, *sweep) == 0
    capsys.readouterr()
    assert train(tmp_path, *sweep, "optimizer.lr=0.2") == 2
    assert "optimizer.lr" in capsys.readouterr().err


def forget_tf32(folder: Path) -> None:
    """Make it a run folder of days when there was no such key."""
    path = folder / "config.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "tf32" not in line))


@pytest.mark.slow
def test_a_sweep_of_days_before_a_key_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", "seed=0,1", "budget.steps=2", f"hydra.sweep.dir={tmp_path}/sweep"]
    assert train(tmp_path, *sweep) == 0
    folders = sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    for folder in folders:
        forget_tf32(folder)
    (folders[1] / RESULT).unlink()
    capsys.readouterr()
    assert train(tmp_path, *sweep) == 0
    assert capsys.readouterr().out.count("is finished") == 1
    assert (folders[1] / RESULT).exists()
    assert train(tmp_path, *sweep, "tf32=false") == 2
    assert "tf32=True, not False" in capsys.readouterr().err


@pytest.fixture
def _rounding_as_it_was() -> Iterator[None]:
    """What torch lets GPUs round is given back at the end."""
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def rounding() -> tuple[bool, bool, str]:
    """Of convolutions and of matrix products; the third is torch's own word for the second."""
    allowed = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    return *allowed, torch.get_float32_matmul_precision()


@pytest.mark.usefixtures("_rounding_as_it_was")
def test_tf32_reaches_torch_in_training_and_in_later_stages(tmp_path: Path) -> None:
    """Both values in turns, so that none is left from the run before."""
    cpu = torch.device("cpu")
    on, off = (True, True, "high"), (False, False, "highest")
    for name, wanted in (("false", off), ("true", on), ("false", off)):
        folder = tmp_path / name
        assert train(folder, "budget.steps=1", f"tf32={name}") == 0
        assert rounding() == wanted
    load_trained_supernet(str(tmp_path / "true"), cpu)
    assert rounding() == on
    load_trained_supernet(str(tmp_path / "false"), cpu)
    assert rounding() == off
    forget_tf32(tmp_path / "false")
    assert launch("train", main, [f"resume={tmp_path / 'false'}", "budget.steps=2"]) == 0
    assert rounding() == on
    assert json.loads((tmp_path / "false" / RESULT).read_text())["steps"] == 2


def test_later_stages_score_the_average_of_the_weights_as_the_run_did(tmp_path: Path) -> None:
    folder, cpu = tmp_path / "run", torch.device("cpu")
    assert train(folder, "budget.steps=9", "ema=0.8", "ranking.bn=[recalibrate]") == 0
    own = {row.arch: row.loss for row in pd.read_csv(folder / SCORES, dtype={"arch": str}).itertuples()}
    trained = load_trained_supernet(str(folder), cpu)

    def losses() -> dict[str, float]:
        evaluator = Evaluator(trained.net, trained.dataset, cpu, "recalibrate", ScoringSettings(calibration_images=50))
        paths = [trained.space.parse(arch) for arch in own]
        return {trained.space.format(path): score.loss for path, score in evaluator.scores(paths)}

    assert losses() == own
    # and the weights of the last step have other scores
    last = torch.load(checkpoint_path(folder), weights_only=True)["state_dict"]
    trained.net.load_state_dict({key.removeprefix("net."): value for key, value in last.items()})
    assert all(loss != own[arch] for arch, loss in losses().items())


def test_later_stages_divide_the_logits_as_the_run_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, cpu = tmp_path / "run", torch.device("cpu")
    assert train(folder, "budget.steps=2", "ranking.bn=[recalibrate]", "ranking.temperature=2.5") == 0
    own = pd.read_csv(folder / SCORES, dtype={"arch": str}).set_index("arch").loss

    # the run, its validations, `rank` and `search` score the same
    trained = load_trained_supernet(str(folder), cpu)
    settings = ScoringSettings(calibration_images=50, temperature=2.5)
    evaluator = Evaluator(trained.net, trained.dataset, cpu, "recalibrate", settings)
    assert {arch: evaluator.score(trained.space.parse(arch)).loss for arch in own.index} == dict(own)
    looked_at = pd.read_csv(folder / VALIDATION, dtype={"arch": str}).query("step == 2")
    assert list(looked_at.loss) == [evaluator.score(trained.space.parse(arch)).loss for arch in looked_at.arch]
    scoring = ["calibration_images=50", "device=cpu"]
    again = [f"run={folder}", "bn=[recalibrate]", "paths=4", *scoring, f"out={tmp_path / 'rank'}"]
    assert launch("rank", rank_main, again) == 0
    ranked = pd.read_csv(tmp_path / "rank" / SCORES, dtype={"arch": str}).set_index("arch").loss
    assert dict(ranked[own.index]) == dict(own)
    searched = [f"run={folder}", *scoring, "logger=csv", f"hydra.run.dir={tmp_path / 'search'}"]
    assert launch("search", search_main, [*searched, "budget.models=6"]) == 0
    archive = pd.read_csv(tmp_path / "search" / ARCHIVE, dtype={"arch": str})
    assert list(archive.loss) == [evaluator.score(trained.space.parse(arch)).loss for arch in archive.arch]

    # which may be told otherwise, but not in the midst of a search
    assert launch("search", search_main, [*searched, "budget.models=9", "temperature=1"]) == 2
    check_one_line(capsys.readouterr().err, "temperature")


@pytest.mark.parametrize("profiler", ["simple", pytest.param("advanced", marks=pytest.mark.slow)])
def test_a_profile_lies_in_the_run_folder(profiler: str, tmp_path: Path) -> None:
    assert train(tmp_path / "run", "budget.steps=2", f"trainer.profiler={profiler}") == 0
    profile = (tmp_path / "run" / "fit-profile.txt").read_text()
    assert "run_training_batch" in profile and "training_step" in profile


def test_the_conditions_of_scores_are_in_the_result(tmp_path: Path) -> None:
    short = ["budget.steps=1", "ranking.paths=2", "ranking.batch_size=40", "ranking.images=80", "logger=csv"]
    assert train(tmp_path / "run", *short) == 0
    result = json.loads((tmp_path / "run" / RESULT).read_text())
    assert result["scoring"] == {"images": 80, "calibration_images": 50, "batch_size": 40, "temperature": 1.0}


def test_wandb_offline_needs_no_account(tmp_path: Path) -> None:
    """One folder per run, closed at its end, so that a sweep does not fall into one run."""
    sweep = ["-m", "seed=0,1", "budget.steps=2", f"hydra.sweep.dir={tmp_path}/sweep", "logger=wandb"]
    with drawing():
        assert train(tmp_path, *sweep) == 0
    stored = [path.parent.parent.parent.name for path in (tmp_path / "sweep").glob("*/wandb/offline-run-*/*.wandb")]
    assert sorted(stored) == ["strict_fair_mini_seed0", "strict_fair_mini_seed1"]
    ids = {path.read_text() for path in (tmp_path / "sweep").glob("*/wandb_id")}
    assert len(ids) == 2


@pytest.mark.parametrize("steps", [1, 7, 100, 1001])
def test_rows_and_validations_are_even_and_the_last_step_has_both(steps: int) -> None:
    schedule = LogSchedule(rows=10, validations=4)
    rows = [step for step in range(1, steps + 1) if schedule.is_row(step, steps)]
    validations = [step for step in range(1, steps + 1) if schedule.is_validation(step, steps)]
    assert rows[0] == 1
    assert rows[-1] == validations[-1] == steps
    assert len(validations) == min(4, steps)
    assert set(validations) <= set(rows)
    gaps = [b - a for a, b in itertools.pairwise(validations)]
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert len(rows) <= math.ceil(10 + 4 + 1)
