"""Each mistake gives one line that names what is right, exit code 2, and leaves no run folder."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.runtime.launch import launch
from src.train import main

PATH = "sampler.correction=path"
SMALL_STRIDES = ["search_space.stem_stride=1", "search_space.strides=[1,2,2,1,2,1]"]
TRAIN = [
    # (arguments, what the line must name)
    (["sampler=strictfair"], "strict_fair"),
    (["search_space=mobilenet"], "mobilenet_b"),
    (["dataset=mnist"], "digits"),
    (["optimizer=adamm"], "sgd"),
    (["logger=mlflow"], "wandb"),
    (["experiment=ablation"], "fairness_ablation"),
    (["experiment=ensemble", "search_space=proxyless"], "give budget.backward_passes="),
    (["inter_choice=biases"], "shared_bias"),
    (["inter_choice=bias", "inter_choice.depth=0"], "of at least 1"),
    (["inter_choice=bias", "inter_choice.depth=two"], "inter_choice.depth"),
    (["inter_choice=bias", "inter_choice.predecessors=next"], "previous, true"),
    (["inter_choice=split", "inter_choice.epoch=500"], "100 epochs"),
    (["inter_choice=split", "inter_choice.fraction=null"], "inter_choice.fraction"),
    (["inter_choice=split", "inter_choice.fraction=2"], "from 0 to 1"),
    (["budgt.epochs=3"], "budget"),
    (["budget.epoch=3"], "epochs"),
    (["sampler.iregular=pad"], "irregular"),
    (["+sampler.iregular=pad"], "iregular"),
    (["budget.epochs=-1"], "budget.epochs"),
    (["budget.epochs=many"], "number"),
    (["budget.epochs=0.01"], "less than one step"),
    (["budget.steps=0"], "at least 1"),
    (["budget.steps=1.5"], "whole number"),
    (["budget.steps=5", "budget.epochs=1"], "give one of them"),
    (["budget.backward_passes=2"], "less than one step"),
    (["seed=-3"], "seed"),
    (["batch_size=0"], "batch_size"),
    (["tf32=yes please"], "tf32"),
    (["tf32=null"], "true or false"),
    (["batch_size=5000"], "training images"),
    (["step.reduction=total"], "sum, mean"),
    (["step.unsampled=free"], "frozen, drifting"),
    (["step.clip=now"], "after, before"),
    (["step.clip_norm=-1"], "step.clip_norm"),
    (["step.label_smoothing=2"], "from 0 to 1"),
    (["optimizer.lr=fast"], "optimizer.lr"),
    (["validation.bn=frozen"], "recalibrate"),
    (["ranking.bn=[running,frozen]"], "recalibrate"),
    (["ranking.paths=some"], "ranking.paths"),
    (["trainer.gradient_clip_val=1"], "step.clip_norm"),
    (["hydra/launcher=condor"], "submitit_slurm"),
    (["trainer.accumulate_grad_batches=3"], "sampler"),
    (["+trainer.max_epochs=3"], "budget.epochs"),
    (["sampler.irregular=padding"], "deck, pad"),
    (["sampler=one_shot", "sampler.r=1.5"], "of at least 0 and below 1"),
    (["sampler=one_shot", "sampler.combine=product"], "mean, sum"),
    (["sampler=ef", "sampler.updates=0"], "of at least 1 or null"),
    (["sampler=fixed"], "sampler.paths=2-0-2"),
    (["sampler=fixed", "sampler.paths=2-0-2"], "3-3-3-3-3"),
    (["sampler=fixed", "sampler.paths=2-0-2-9-1"], "3-3-3-3-3"),
    (["dataset.val=2000"], "dataset.val"),
    (["dataset.test=3"], "dataset.test"),
    (["dataset=image_folder", "dataset.root=nowhere"], "nowhere"),
    (["dataset=cifar10", "dataset.root=nowhere"], "nowhere"),
    (["benchmark=table", "benchmark.path=nowhere.csv"], "nowhere.csv"),
    (["resume=nowhere"], "no such run folder"),
    (["checkpoint=first"], "last, previous"),
    (["--resume"], "key=value"),
    (["epochs 3"], "epochs"),
    (["budget.epochs="], "budget.epochs"),
    (["seed=null"], "seed=null"),
    (["validation.paths=null"], "validation.paths=null"),
    (["ranking.paths=1"], "from 2 to 100000"),
    (["ranking.paths=all", "search_space=mobilenet_b", "image_size=64"], "take a sample"),
    (["ranking.bn=[]"], "recalibrate"),
    (["ranking.seed=abc"], "ranking.seed"),
    (["budget=5"], "backward_passes"),
    (["+step.foo=1"], "reduction"),
    (["+journal.foo=1"], "validations"),
    (["+trainer.fast_dev_run=true"], "precision"),
    (["trainer.precision=banana"], "bf16-mixed"),
    (["trainer.precision=16-mixed", "step.clip_norm=1"], "bf16-mixed"),
    (["trainer.accelerator=banana"], "trainer"),
    (["optimizer.momentum=-1"], "momentum"),
    (["+optimizer.foo=1"], "foo"),
    (["optimizer.nesterov=true", "optimizer.momentum=0"], "momentum"),
    (["sampler.ghostbatch=16", "sampler=one_shot"], "ghost_batch"),
    (["search_space=mobilenet_b", "search_space.stemstride=1"], "stem_stride"),
    (["hydra/launcher=slurm"], "launcher"),
    (["search_space.channels=abc"], "search_space.channels"),
    (["search_space.strides=[1,1]"], "search_space.strides"),
    (["image_size=1"], "image_size"),
    (["dataset._target_=foo.bar"], "foo"),
    (["search_space=mobilenet_b"], "strides"),
    (["+resume=nowhere"], "no such run folder"),
    (["search_space=nas_bench_201", "search_space.share=4"], "1, 2, 3, 6"),
    (["sampler=path_importance", "sampler.deck=true", "sampler.deck_paths=2"], "give 3 or more"),
    (["sampler=path_importance", "sampler.statistic=norm"], "own_sum"),
    (["sampler=distinct"], "use sampler=spos"),
    (
        ["sampler=path_importance", "search_space=proxyless", "image_size=32", *SMALL_STRIDES, PATH],
        "correction=marginal",
    ),
    (["order=data_importance", "order.smoothing_end=2"], "smoothing_end"),
    (["order=data_importance", "budget.epochs=1"], "above 1"),
    (["sampler=path_importance", "budget.epochs=2"], "above 2"),
    (["gradient_variance=true", "step.clip=before", "step.clip_norm=1"], "step.clip=after"),
    (["sampler=path_importance", "trainer.precision=16-mixed"], "bf16-mixed"),
    (["search_space=mini_cell", "search_space.share=2", "step=compiled"], "step=window"),
    (["step.gradient_noise=-1"], "gradient_noise"),
    (["sampler=strict_fair", "sampler.statistic=own_sum"], "irregular"),
]


def check_one_line(error: str, names: str) -> None:
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("error: ")
    assert names in lines[0]


@pytest.mark.parametrize(("arguments", "names"), TRAIN, ids=[" ".join(arguments) for arguments, _ in TRAIN])
def test_training_refuses(arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    code = launch("train", main, ["logger=csv", *arguments, f"hydra.run.dir={folder}"])
    check_one_line(capsys.readouterr().err, names)
    assert code == 2
    assert not folder.exists()


OTHERS: list[tuple[str, list[str], str]] = [
    ("describe", ["path=2-0-2"], "5 layers"),
    ("describe", ["path=2-0-2-0-9"], "0 to 2"),
    ("describe", ["path=two"], "2-0-2"),
    ("describe", ["search_space=mobilenet_b", "path=fairnas_d"], "fairnas_a"),
    ("describe", ["num_classes=0"], "num_classes"),
    ("describe", ["image_size=8.5"], "image_size"),
    ("describe", ["classes=5"], "num_classes"),
    ("report", [], "runs="),
    ("report", ["runs=nowhere"], "nowhere"),
    ("report", ["runs=5"], "folder"),
    ("report", ["runs=.", "bn=frozen"], "recalibrate"),
    ("ground_truth", ["seeds=1"], "at least 2"),
    ("ground_truth", ["search_space=mobilenet_b"], "more than"),
    ("ground_truth", ["recipe_alone.batch_size=5000"], "training images"),
    ("ground_truth", ["+recipe_alone.foo=1"], "peak_lr"),
]


@pytest.mark.parametrize(("name", "arguments", "names"), OTHERS, ids=[" ".join([n, *a]) for n, a, _ in OTHERS])
def test_the_other_commands_refuse(
    name: str, arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    command = importlib.import_module(f"src.{name}")
    code = launch(name, command.main, [*arguments, f"hydra.run.dir={folder}"])
    check_one_line(capsys.readouterr().err, names)
    assert code == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    "arguments", [["sampler=strictfair"], pytest.param(["batch_size=5000"], marks=pytest.mark.slow)]
)
def test_as_a_process(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "src.train", *arguments, "logger=csv", f"hydra.run.dir={tmp_path}/run"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    check_one_line(done.stderr, arguments[0].partition("=")[0])
    assert done.returncode == 2
    assert done.stdout == ""
