"""src.retrain as a command: its files, its recipes, weights of a supernet, bad input."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from src.datasets.digits import Digits
from src.datasets.input_spec import InputSpec
from src.retrain import main
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG, METRICS, RESULT, SPLIT
from src.runtime.stored_run import checkpoint_path
from src.search_spaces.mini import Mini
from src.standalone.bare_loop import accuracy
from src.standalone.extract import extract
from src.standalone.retraining.metrics import COLUMNS
from src.train import main as train_main
from src.training.trained_supernet import load_trained_supernet
from tests.conftest import drawing
from tests.test_bad_input import check_one_line

DIGITS = InputSpec(1, 10, 8)
SHORT = ["logger=csv", "batch_size=50", "journal.rows=5", "journal.validations=2"]


def retrain(folder: Path, *arguments: str) -> int:
    return launch("retrain", main, [*SHORT, f"hydra.run.dir={folder}", *arguments])


def result_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / RESULT).read_text())


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supernet") / "run"
    short = ["budget.steps=12", "validation.paths=2", "journal.validations=1", "ranking.paths=2"]
    short += ["ranking.bn=running", "ranking.images=50"]
    other = ["optimizer.lr=0.03", "schedule.warmup_epochs=0.5", "dataset.val=200", "step.label_smoothing=0.05"]
    arguments = ["logger=csv", *short, *other, "validation.calibration_images=100", f"hydra.run.dir={folder}"]
    assert launch("train", train_main, arguments) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrain") / "run"
    assert retrain(folder, "arch=2-0-1-1-0", "budget.epochs=2") == 0
    return folder


def test_a_run_folder_has_all_that_a_user_of_the_network_needs(folder: Path) -> None:
    result = result_of(folder)
    assert result["command"] == "retrain"
    assert (result["arch"], result["path"], result["search_space"]) == ("2-0-1-1-0", "2-0-1-1-0", "mini")
    assert result["input"] == DIGITS._asdict()
    assert result["classes"] == [str(digit) for digit in range(10)]
    assert len(result["mean"]) == len(result["std"]) == 1  # type: ignore[arg-type]
    assert (result["steps"], result["epochs"], result["backward_passes"]) == (32, 2.0, 32)  # 800 images by 50
    assert (result["params"], result["macs"]) == tuple(Mini().costs((2, 0, 1, 1, 0)))
    kept = {"recipe", "dataset", "seed", "commit", "device", "wall_seconds", "val_accuracy", "test_accuracy"}
    assert kept <= result.keys()
    assert (folder / "provenance.json").exists()


def test_the_weights_are_those_of_the_spaces_own_network(folder: Path) -> None:
    net = Mini().build_path((2, 0, 1, 1, 0), *DIGITS)
    weights = torch.load(folder / "weights.pt", weights_only=True)
    net.load_state_dict(weights)
    same = safetensors.torch.load_file(folder / "model.safetensors")
    assert same.keys() == weights.keys() and all(torch.equal(same[name], weights[name]) for name in same)
    for part in ("val", "test"):
        assert accuracy(net.eval(), Digits(), part) == pytest.approx(result_of(folder)[f"{part}_accuracy"], abs=0.004)


def test_metrics_have_validations_where_they_are_due(folder: Path) -> None:
    metrics = pd.read_csv(folder / METRICS)
    assert tuple(metrics.columns) == COLUMNS
    assert metrics.step.tolist()[0] == 1
    assert metrics[metrics["val/accuracy"].notna()].step.tolist() == [16, 32]
    assert metrics["val/accuracy"].iloc[-1] == result_of(folder)["val_accuracy"]
    assert metrics["val/accuracy_ema"].isna().all()


def test_as_supernet_has_the_supernets_schedule(folder: Path) -> None:
    """lr 0.05 after a warm-up of one epoch, then half a cosine to 0: as src/training/budget.py's."""
    metrics = pd.read_csv(folder / METRICS).set_index("step")["train/lr"]
    assert metrics[1] == pytest.approx(0.05 / 17)
    assert metrics[32] == pytest.approx(0.05 * (1 + math.cos(math.pi * 15 / 16)) / 2)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_run_cut_short_may_end_within_its_warm_up(
    steps: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert retrain(tmp_path / "run", "arch=0-0-0-0-0", f"budget.steps={steps}") == 0
    said = f"recipe.warmup_epochs=1 is not shorter than the run of {steps / 16:g} epochs"
    assert f"{said}, so its learning rate stays below 0.05" in capsys.readouterr().out
    rates = pd.read_csv(tmp_path / "run" / METRICS).set_index("step")["train/lr"]
    assert rates[steps] == pytest.approx(0.05 * steps / 17)
    assert not caplog.records


def test_a_warm_up_longer_than_the_supernets_training_is_refused(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert retrain(tmp_path / "run", "arch=0-0-0-0-0", f"run={supernet}", "recipe.warmup_epochs=50") == 2
    check_one_line(capsys.readouterr().err, "recipe.warmup_epochs=50 is not shorter than the run of")
    assert not (tmp_path / "run").exists()


def test_equal_seeds_give_equal_networks_and_others_differ(tmp_path: Path) -> None:
    found = []
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        assert retrain(tmp_path / name, "arch=2-0-1-1-0", "budget.steps=2", f"seed={seed}") == 0
        found.append(torch.load(tmp_path / name / "weights.pt", weights_only=True))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert not torch.equal(found[0]["2.linear.weight"], found[2]["2.linear.weight"])


def test_mnasnet_averages_its_weights_and_climbs_down_stairs(tmp_path: Path) -> None:
    fast = ["recipe.decay_epochs=0.5", "recipe.warmup_epochs=0.25", "recipe.bn_momentum=0.1"]
    assert retrain(tmp_path / "run", "arch=2-0-1-1-0", "recipe=mnasnet", "budget.epochs=2", *fast) == 0
    metrics = pd.read_csv(tmp_path / "run" / METRICS).set_index("step")
    peak = 0.256 * 50 / 4096
    assert metrics["train/lr"][1] == 0
    assert metrics["train/lr"][32] == pytest.approx(peak * 0.97**3)  # step 31 of 8-step stairs
    assert metrics["val/accuracy_ema"][32] == result_of(tmp_path / "run")["val_accuracy"]
    state = torch.load(checkpoint_path(tmp_path / "run"), weights_only=True)["state_dict"]
    weights = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    assert all(torch.equal(weights[key], state[f"ema.module.{key}"]) for key in weights)
    assert not torch.equal(weights["2.linear.weight"], state["net.2.linear.weight"])


def test_cifar_600_clips_drops_and_cuts_out(tmp_path: Path) -> None:
    assert retrain(tmp_path / "run", "arch=2-2-2-2-2", "recipe=cifar_600", "recipe.cutout=4", "budget.steps=4") == 0
    result = result_of(tmp_path / "run")
    assert result["drop_path_blocks"] == 4
    assert OmegaConf.load(tmp_path / "run" / CONFIG).recipe.clip_norm == 5


def test_a_recipe_says_what_it_cannot_do_on_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ["search_space=nas_bench_201", "search_space.cells=1", "recipe=cifar_600", "recipe.cutout=4"]
    cell = "arch='|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|'"
    assert retrain(tmp_path / "run", cell, *space, "budget.steps=2") == 0
    assert "drop_path=0.2 does nothing" in capsys.readouterr().out
    result = result_of(tmp_path / "run")
    assert (result["drop_path_blocks"], result["path"]) == (0, "3-0-1-4-2-0")
    assert str(result["arch"]).startswith("|nor_conv_3x3~0|+")


def test_proxyless_450_on_small_colour_images(tmp_path: Path) -> None:
    from tests.datasets.made_images import make_split

    root = make_split(tmp_path / "images", size=16)
    space = ["search_space=proxyless", "search_space.stem_stride=1", "search_space.strides=[1,2,2,1,2,1]"]
    space += ["search_space.channels=[8,8,8,8,8,8]"]
    data = ["dataset=image_folder", f"dataset.root={root}", "dataset.cache=null", "dataset.val=6", "batch_size=8"]
    path = "-".join(["0"] * 21)
    assert retrain(tmp_path / "run", f"arch={path}", "recipe=proxyless_450", "budget.steps=1", *space, *data) == 0
    assert result_of(tmp_path / "run")["classes"] == ["cat", "dog", "owl"]


def test_a_row_of_a_file_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    front = tmp_path / "front.csv"
    front.write_text("arch,macs\n0-0-0-0-0,1\n1-0-2-0-1,2\n")
    assert retrain(tmp_path / "run", f"arch={front}", "pick=1", "budget.steps=2") == 0
    assert result_of(tmp_path / "run")["path"] == "1-0-2-0-1"
    capsys.readouterr()
    assert retrain(tmp_path / "unpicked", f"arch={front}") == 2
    check_one_line(capsys.readouterr().err, "front.csv lists 2, counted from 0, so use 0 to 1")
    assert retrain(tmp_path / "foreign", f"arch={front}", "pick=1", "search_space=nas_bench_macro") == 2
    check_one_line(capsys.readouterr().err, "front.csv, line 2: path 0-0-0-0-0 has 5 choices")


def test_a_sweep_trains_several(tmp_path: Path) -> None:
    sweep = ["-m", "arch=0-0-0-0-0,1-1-1-1-1", "budget.steps=1", f"hydra.sweep.dir={tmp_path}/sweep"]
    assert retrain(tmp_path, *sweep) == 0
    paths = [result_of(folder)["path"] for folder in sorted((tmp_path / "sweep").glob("as_supernet_mini_seed0_arch=*"))]
    assert paths == ["0-0-0-0-0", "1-1-1-1-1"]
    assert retrain(tmp_path, *sweep) == 0  # nothing is left to do


def test_space_data_and_recipe_are_the_supernets(supernet: Path, tmp_path: Path) -> None:
    arguments = ["logger=csv", f"run={supernet}", f"hydra.run.dir={tmp_path}/run"]
    assert launch("retrain", main, [*arguments, "arch=2-0-1-1-0", "recipe.momentum=0.8"]) == 0
    config = OmegaConf.load(tmp_path / "run" / CONFIG)
    run = OmegaConf.load(supernet / CONFIG)
    assert config.dataset == run.dataset
    assert config.search_space == run.search_space
    assert (config.recipe.lr, config.recipe.warmup_epochs, config.recipe.label_smoothing) == (0.03, 0.5, 0.05)
    assert (result_of(tmp_path / "run")["steps"], config.batch_size) == (12, 100)
    assert config.recipe.momentum == 0.8


def test_label_smoothing_for_the_ranking_is_none_of_the_networks(supernet: Path, tmp_path: Path) -> None:
    copy = tmp_path / "supernet"
    shutil.copytree(supernet, copy)
    config = OmegaConf.load(copy / CONFIG)
    config.step.label_smoothing = config.supernet_label_smoothing
    OmegaConf.save(config, copy / CONFIG)
    arguments = [f"run={copy}", "arch=2-0-1-1-0", "budget.steps=1", "logger=csv", f"hydra.run.dir={tmp_path}/run"]
    assert launch("retrain", main, arguments) == 0
    assert OmegaConf.load(tmp_path / "run" / CONFIG).recipe.label_smoothing == config.recipe.label_smoothing == 0


@pytest.mark.parametrize("bn", ["running", "recalibrate"])
def test_inherited_weights_are_the_supernets(bn: str, supernet: Path, tmp_path: Path) -> None:
    """At learning rate 0 nothing but the running statistics moves, and under momentum 1e-9 not even these."""
    still = ["recipe.lr=0", "recipe.warmup_epochs=0", "recipe.bn_momentum=1e-9", "budget.steps=1"]
    inherited = [f"run={supernet}", "weights=inherited", f"bn={bn}", "calibration_images=100"]
    assert retrain(tmp_path / "run", "arch=2-0-1-1-0", *inherited, *still) == 0
    trained = load_trained_supernet(str(supernet), torch.device("cpu"))
    expected = extract(trained.space, trained.net, (2, 0, 1, 1, 0), trained.input_spec).state_dict()
    found = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    for key, value in expected.items():
        if key.endswith(("running_mean", "running_var")):
            assert torch.allclose(found[key], value, atol=1e-5) == (bn == "running"), key
        elif not key.endswith("num_batches_tracked"):
            assert torch.equal(found[key], value), key


def test_what_is_inherited_needs_no_supernet_any_more(supernet: Path, tmp_path: Path) -> None:
    arguments = ["arch=2-0-1-1-0", f"run={supernet}", "weights=inherited", "budget.steps=3"]
    assert retrain(tmp_path / "run", *arguments) == 0
    moved = supernet.rename(supernet.with_name("moved"))
    try:
        assert launch("retrain", main, [f"resume={tmp_path}/run", "budget.steps=5"]) == 0
    finally:
        moved.rename(supernet)
    assert result_of(tmp_path / "run")["steps"] == 5


def test_other_images_than_the_supernets_are_refused(
    supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "supernet"
    shutil.copytree(supernet, copy)
    with np.load(copy / SPLIT) as stored:
        parts = dict(stored)
    np.savez(copy / SPLIT, **parts | {"val": parts["val"][::-1]})
    capsys.readouterr()
    assert retrain(tmp_path / "run", "arch=2-0-1-1-0", f"run={copy}", "budget.steps=2") == 2
    check_one_line(capsys.readouterr().err, "another split")


@pytest.mark.slow
def test_wandb_offline_has_the_run(tmp_path: Path) -> None:
    with drawing():  # W&B looks into the pictures that it is given
        assert retrain(tmp_path / "run", "arch=2-0-1-1-0", "budget.steps=2", "logger=wandb") == 0
    assert list((tmp_path / "run").glob("wandb/offline-run-*/*.wandb"))


BAD = [
    # (arguments, what the line must name)
    ([], "arch=<architecture>"),
    (["arch=2-0-2"], "5 layers"),
    (["arch=fairnas_a"], "2-0-2"),
    (["arch=nowhere.csv"], "no such file"),
    (["arch=fairnas_d", "search_space=mobilenet_b", "image_size=64"], "fairnas_a"),
    (["arch=2-0-1-1-0", "pick=1"], "leave it out"),
    (["arch=2-0-1-1-0", "recipe=best"], "as_supernet"),
    (["arch=2-0-1-1-0", "weights=random"], "scratch, inherited"),
    (["arch=2-0-1-1-0", "weights=inherited"], "run=<folder"),
    (["arch=2-0-1-1-0", "run=nowhere"], "nowhere"),
    (["arch=2-0-1-1-0", "bn=batch"], "recalibrate, running"),
    (["arch=2-0-1-1-0", "recipe.momentun=1"], "momentum"),
    (["arch=2-0-1-1-0", "+recipe.foo=1"], "label_smoothing"),
    (["arch=2-0-1-1-0", "recipe.lr=fast"], "recipe.lr"),
    (["arch=2-0-1-1-0", "recipe.ema=1"], "recipe.ema"),
    (["arch=2-0-1-1-0", "recipe.optimizer=best"], "rmsproptf"),
    (["arch=2-0-1-1-0", "+recipe.optimizer_options.foo=1"], "foo"),
    (["arch=2-0-1-1-0", "recipe.warmup_epochs=1e9"], "recipe.warmup_epochs=1e+09 is not shorter than the run of 100"),
    (["arch=2-0-1-1-0", "recipe.warmup_epochs=1e9", "budget.steps=5"], "recipe.warmup_epochs=1e+09 is not shorter"),
    (["arch=2-0-1-1-0", "recipe.warmup_epochs=100"], "use less, or 0 for none"),
    (["arch=2-0-1-1-0", "recipe.schedule=stairs"], "cosine, step"),
    (["arch=2-0-1-1-0", "recipe.schedule=step"], "recipe.decay_epochs"),
    (["arch=2-0-1-1-0", "recipe.drop_path_grows=width"], "depth, epochs"),
    (["arch=2-0-1-1-0", "recipe=cifar_600"], "recipe.cutout=4"),
    (["arch=2-0-1-1-0", "recipe=proxyless_450"], "grey"),
    (["arch=2-0-1-1-0", "batch_size=5000"], "training images"),
    (["arch=2-0-1-1-0", "budget.backward_passes=5"], "steps"),
    (["arch=2-0-1-1-0", "budget.steps=5", "budget.epochs=1"], "give one of them"),
    (["arch=2-0-1-1-0", "budget.epochs=0.01"], "less than one step"),
    (["arch=2-0-1-1-0", "trainer.devices=2"], "one device"),
    (["arch=2-0-1-1-0", "trainer.gradient_clip_val=1"], "recipe.clip_norm"),
    (["arch=2-0-1-1-0", "+trainer.max_epochs=1"], "budget.epochs"),
    (["arch=2-0-1-1-0", "sampler=spos"], "arch"),
    (["arch=fairnas_model_2", "search_space=mobilenet_a"], "strides"),
    (["resume=nowhere"], "no such run folder"),
    (["experiment=standalone_ranking"], "run=<folder"),
]


@pytest.mark.parametrize(("arguments", "names"), BAD, ids=[" ".join(arguments) or "nothing" for arguments, _ in BAD])
def test_bad_input_is_one_line(
    arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    code = launch("retrain", main, ["logger=csv", *arguments, f"hydra.run.dir={folder}"])
    check_one_line(capsys.readouterr().err, names)
    assert code == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("search_space=nas_bench_macro", "search_space=mini"),
        ("dataset=cifar10", "dataset=digits"),
        ("dataset.val=100", "dataset.val=200"),
        ("search_space.stem=16", "search_space.stem=8"),
        ("image_size=16", "image_size=None"),
    ],
)
def test_another_space_or_data_set_than_the_supernets_is_refused(
    argument: str, names: str, supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert retrain(tmp_path / "run", "arch=2-0-1-1-0", f"run={supernet}", argument) == 2
    check_one_line(capsys.readouterr().err, names)
    assert not (tmp_path / "run").exists()


def test_the_same_space_and_other_augmentation_are_not(supernet: Path, tmp_path: Path) -> None:
    same = ["search_space=mini", "dataset=digits", "dataset.val=200", "dataset.shift=2"]
    assert retrain(tmp_path / "run", "arch=2-0-1-1-0", f"run={supernet}", "budget.steps=2", *same) == 0
    assert OmegaConf.load(tmp_path / "run" / CONFIG).dataset.shift == 2
    assert instantiate(OmegaConf.load(tmp_path / "run" / CONFIG).dataset).size("val") == 200
