"""A run on two devices, as the command line starts it: two processes of this machine, which meet over gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from src.datasets.stream import DataShard
from src.runtime.devices import chosen_device
from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.run_folder import IMPORTANCE, METRICS, RESULT, SCORES
from src.train import main
from tests.datasets.test_memory import made

SHORT = ["validation.paths=3", "ranking.paths=5", "validation.calibration_images=50", "ranking.calibration_images=50"]
SHORT += ["logger=csv", "benchmark=none", "step=window", "journal.rows=100", "journal.validations=2"]
TWO = [*SHORT, "trainer.devices=2", "trainer.accelerator=cpu"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "src.train", *arguments, f"hydra.run.dir={folder}"]
    return subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def train(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def losses(folder: Path) -> list[float]:
    return pd.read_csv(folder / METRICS)["train/loss"].tolist()


@pytest.mark.slow
def test_path_parallel_is_the_run_of_one_device(tmp_path: Path) -> None:
    printed = train(tmp_path / "two", *TWO, "strategy=path_parallel", "budget.steps=6")
    assert printed.count("run folder:") == 1  # one process speaks for all
    assert launch("train", main, [*SHORT, "budget.steps=6", f"hydra.run.dir={tmp_path / 'one'}"]) == 0
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = (pd.read_csv(tmp_path / name / SCORES) for name in ("one", "two"))
    assert sorted(one.path) == sorted(two.path)
    result = json.loads((tmp_path / "two" / RESULT).read_text())
    assert result["backward_passes"] == 18


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["pada", "pada_unbiased"])
def test_importance_on_two_devices_is_that_of_one(experiment: str, tmp_path: Path) -> None:
    learning = [f"experiment={experiment}", "sampler.smoothing_start=0.5", "order.smoothing_start=0.5"]
    learning += ["dataset.val=997", "batch_size=50", "budget.steps=12", "gradient_variance=true", "optimizer.lr=0.001"]
    train(tmp_path / "two", *TWO, *learning, "sync_batchnorm=true")
    train(tmp_path / "one", *SHORT, *learning)
    one, two = (pd.read_csv(tmp_path / name / IMPORTANCE) for name in ("one", "two"))
    # three epochs of four steps: the second and the third draw by what was learnt
    assert one.epoch.max() == 2
    assert one[(one.figure == "probability") & (one.epoch == 2)].value.nunique() > 5
    # over an estimate of the squared mean that is nearly a difference of equals, so rounding shows a hundredfold
    ill = one.figure.str.startswith("gradient_variance_relative")
    assert (1 / one[ill].value).tolist() == pytest.approx((1 / two[ill].value).tolist(), abs=2e-3)
    # float32: rounding grows over twelve steps, otherwise on every processor
    pd.testing.assert_frame_equal(one[~ill], two[~ill], rtol=1e-2, atol=1e-6)
    exact = ("draws", "distinct_images", "class_share")
    assert one[one.figure.isin(exact)].equals(two[two.figure.isin(exact)])


@pytest.mark.slow
def test_a_ddp_run_that_was_asked_to_stop_goes_on_to_the_same_end(tmp_path: Path) -> None:
    arguments = [*TWO, "sync_batchnorm=true", "budget.steps=60"]
    process = start(tmp_path / "stopped", *arguments)
    metrics = tmp_path / "stopped" / METRICS
    # however long it imports on a loaded machine: its own end ends the wait
    while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 5):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    if process.returncode != 0:  # else it was faster than the signal
        assert process.returncode == 130, err
        (line,) = [line for line in err.splitlines() if "interrupted" in line]
        assert f"resume={tmp_path / 'stopped'}" in line
        train(tmp_path / "stopped", *arguments)
    train(tmp_path / "whole", *arguments)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    columns = ["path", "bn", "accuracy", "loss"]
    tables = [pd.read_csv(tmp_path / name / SCORES)[columns].sort_values(columns) for name in ("stopped", "whole")]
    stopped, whole = (table.reset_index(drop=True) for table in tables)
    pd.testing.assert_frame_equal(stopped, whole)


@pytest.mark.parametrize(
    ("asked", "gpus", "wanted"),
    [("cpu", True, "cpu"), ("auto", False, "cpu"), ("auto", True, "cuda:1"), ("cuda", True, "cuda:1")],
)
def test_a_process_has_the_gpu_of_its_rank(
    asked: str, gpus: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(chosen_device(asked)) == wanted


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for asked in ("cuda", "mps"):
        with pytest.raises(UsageError, match=f"device={asked}: there is no GPU here .* device=cpu works"):
            chosen_device(asked)


def test_a_mac_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert [str(chosen_device(asked)) for asked in ("auto", "mps", "cpu")] == ["mps", "mps", "cpu"]


def test_processes_load_shares_of_the_very_batches_of_one() -> None:
    whole = list(made().train_loader(6, 4, 7, torch.device("cpu")))
    shares = [list(made().train_loader(6, 4, 7, torch.device("cpu"), DataShard(rank, 3))) for rank in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(batch.images, torch.cat([part.images for part in parts]))
        assert torch.equal(batch.index, torch.cat([part.index for part in parts]))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["trainer.devices=2", "batch_size=33"], "multiple"),
        (["trainer.devices=2", "step.clip_norm=1", "step.clip=before"], "path_parallel"),
        (["trainer.devices=2", "strategy=path_parallel", "sync_batchnorm=true"], "ddp"),
        (["strategy=fsdp"], "ddp, path_parallel"),
        (["trainer.devices=auto"], "whole number"),
        (["sync_batchnorm=2"], "true or false"),
        (["step=fast"], "serial"),
        (["step.way=fast"], "serial"),
        (["step=compiled", "inter_choice=split"], "step=window"),
    ],
)
def test_what_is_refused(arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", main, [*arguments, "logger=csv", f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert names in line
