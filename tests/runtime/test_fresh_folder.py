"""Runs that begin in the same second, as those of an array job do: each has a folder of its own."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from src import train
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG, FRESH, fresh_folder


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FRESH, "{}")


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    assert fresh_folder(f"{tmp_path}/a") == f"{tmp_path}/a-2"
    assert fresh_folder(f"{tmp_path}/a") == f"{tmp_path}/a-2"  # the same command
    monkeypatch.setenv(FRESH, "{}")
    assert fresh_folder(f"{tmp_path}/a") == f"{tmp_path}/a-3"  # another one
    assert json.loads(os.environ[FRESH]) == {f"{tmp_path}/a": f"{tmp_path}/a-3"}


@pytest.mark.slow
def test_processes_side_by_side_have_folders_of_their_own(tmp_path: Path) -> None:
    with ProcessPoolExecutor(8) as pool:
        names = list(pool.map(fresh_folder, [f"{tmp_path}/a"] * 8, chunksize=1))
    assert len({*names}) == len({*tmp_path.iterdir()})


SHORT = ["budget.steps=1", "validation.paths=2", "ranking.paths=2", "ranking.images=50", "benchmark=none", "logger=csv"]


def test_two_runs_of_one_second_are_two_runs(tmp_path: Path) -> None:
    at_one_second = f'hydra.run.dir="${{run_dir:${{resume}},{tmp_path}/now}}"'
    for seed in (0, 1):
        assert launch("train", train.main, [*SHORT, f"seed={seed}", at_one_second]) == 0
    assert [(tmp_path / name / CONFIG).exists() for name in ("now", "now-2", "now-3")] == [True, True, False]
    assert launch("train", train.main, [f"resume={tmp_path / 'now'}", "budget.steps=2"]) == 0
    assert not (tmp_path / "now-3").exists()


def test_two_sweeps_of_one_second_are_two_sweeps(tmp_path: Path) -> None:
    for _ in range(2):
        sweep = ["-m", "seed=0,1", f"hydra.sweep.dir=${{fresh:{tmp_path}/now}}"]
        assert launch("train", train.main, [*SHORT, *sweep]) == 0
    for name in ("now", "now-2"):
        assert len(list((tmp_path / name).glob("*/result.json"))) == 2
    assert not (tmp_path / "now-3").exists()


def test_a_refused_run_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["batch_size=100000", f'hydra.run.dir="${{run_dir:${{resume}},{tmp_path}/now}}"', "logger=csv"]
    assert launch("train", train.main, wrong) == 2
    assert "use at most 800" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
