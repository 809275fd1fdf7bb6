"""Sweeps: folders that do not depend on a job's number, and jobs that fail while the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from src import search
from src.runtime.launch import launch
from src.runtime.run_folder import RESULT
from src.runtime.sweep import SWEPT, count_jobs, job_folder, swept_keys
from src.train import main

SHORT = ["budget.steps=2", "logger=csv", "benchmark=none", "validation.paths=2", "ranking.paths=2"]
SHORT += ["validation.images=50", "validation.calibration_images=50", "ranking.images=50"]
SHORT += ["ranking.calibration_images=50"]


def sweep(folder: Path, *arguments: str) -> int:
    return launch("train", main, ["-m", *SHORT, f"hydra.sweep.dir={folder}", *arguments])


def finished(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob(f"*/{RESULT}"))


def test_swept_keys_are_those_with_several_values() -> None:
    arguments = ["seed=0,1", "optimizer.lr=0.1", "+a=range(3)", "arch=[1,2]", "b='x,y'", "c=choice(1,2)", "d=(", "-m"]
    assert swept_keys(arguments) == ["seed", "a", "c"]


def test_a_folder_has_the_swept_values_in_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(SWEPT, "optimizer.lr sampler seed dataset.root")
    job = ["sampler=spos", "seed=1", "optimizer.lr=0.1", "budget.steps=3"]
    assert job_folder(str(tmp_path), 5, "spos_mini_seed1", job, None) == "spos_mini_seed1_lr=0.1"
    assert job_folder(str(tmp_path), 5, "spos_mini_seed1", job, {"budget.steps": "3,4"}).endswith("_lr=0.1,steps=3")
    roots = [job_folder(str(tmp_path), 0, "mini", [f"dataset.root={root}"], None) for root in ("a/b", "a:b", "c" * 99)]
    assert len(set(roots)) == 3
    assert all("/" not in name and len(name) < 80 for name in roots)
    # a value of another key that the name happens to hold is not left out: the jobs would share a folder
    monkeypatch.setenv(SWEPT, "arch")
    names = [job_folder(str(tmp_path), 0, "spos_mini_seed1", [f"arch={arch}"], None) for arch in ("spos", "mini")]
    assert len(set(names)) == 2
    (tmp_path / "5_spos_mini_seed1").mkdir()
    assert job_folder(str(tmp_path), 5, "spos_mini_seed1", job, None) == "5_spos_mini_seed1"  # of an earlier version


def test_a_diverging_job_does_not_end_the_sweep_and_is_not_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = "optimizer.lr=1e30,0.05"
    assert sweep(tmp_path, rates) == 1
    error = capsys.readouterr().err
    assert "1 of 2 jobs failed:\n  strict_fair_mini_seed0_lr=1e+30: loss is not finite" in error
    assert finished(tmp_path) == ["strict_fair_mini_seed0_lr=0.05"]
    # the same command again does nothing, and says so
    assert sweep(tmp_path, rates) == 1
    output = capsys.readouterr()
    assert "is finished" in output.out
    assert "retry_diverged=true tries again" in output.err
    # a longer list keeps the folders of the shorter one
    assert sweep(tmp_path, "optimizer.lr=0.01,1e30,0.05") == 1
    assert "is finished" in capsys.readouterr().out
    assert len(finished(tmp_path)) == 2
    assert sweep(tmp_path, rates, "retry_diverged=true") == 1
    assert "(earlier" not in capsys.readouterr().err


def test_a_refused_job_does_not_end_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path, "batch_size=100000,100") == 1
    error = capsys.readouterr().err
    assert "1 of 2 jobs failed:\n  strict_fair_mini_seed0_batch_size=100000: batch_size=100000" in error
    assert finished(tmp_path) == ["strict_fair_mini_seed0_batch_size=100"]
    assert sweep(tmp_path, "batch_size=100,200") == 0
    assert "failed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "params", "jobs"),
    [
        (["seed=0,1", "sampler=spos,strict_fair,fair", "budget.steps=3"], None, 6),
        (["seed=range(3)", "optimizer.lr=choice(0.1,0.2)"], None, 6),
        ([], {"seed": "0,1,2", "searcher": "nsga2,random"}, 6),
        (["seed=0"], {"seed": "0,1,2", "searcher": "nsga2,random"}, 2),
        (["seed=0,1", "a=("], None, None),
    ],
)
def test_jobs_are_counted(arguments: list[str], params: dict[str, str] | None, jobs: int | None) -> None:
    assert count_jobs(arguments, params) == jobs


def test_each_job_says_which_of_how_many_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", "seed=0,1", "evaluator=truth", "benchmark=mini", "budget.models=4", "logger=csv"]
    assert launch("search", search.main, [*sweep, f"hydra.sweep.dir={tmp_path}/s", "searcher=random_search"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("job ")]
    assert said == ["job 1 of 2: random_search_truth_seed0", "job 2 of 2: random_search_truth_seed1"]
