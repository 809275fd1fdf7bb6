"""A run folder written before the modules moved into rooms: it loads, resumes, ranks to its stored scores, exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from src.export import main as export_main
from src.rank import main as rank_main
from src.runtime.launch import launch
from src.runtime.migrate import migrate
from src.runtime.run_folder import METRICS, RESULT, SCORES, WALL_CLOCK
from src.runtime.stored_run import read_checkpoint, read_config
from src.train import main as train_main

STORED = Path(__file__).parents[1] / "data" / "run_of_d2c77c9"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "run"))


def test_configuration_and_checkpoint_are_completed(old: Path) -> None:
    config = read_config(old, "train")
    assert (config.command, config.ranking.by, config.step.way) == ("train", "accuracy", "serial")
    checkpoint = read_checkpoint(old, command="train")
    assert checkpoint is not None
    assert (checkpoint["command"], checkpoint["fairpath"]["way"]) == ("train", "serial")


def test_older_keys_take_the_values_they_had() -> None:
    config = OmegaConf.create({"choices": {"sampler": "spos"}, "step": {"clip": "after"}})
    migrate(config)
    assert (config.command, config.tf32, config.strategy, config.sync_batchnorm) == ("train", True, "ddp", False)
    assert (config.step.way, config.choices.inter_choice) == ("serial", "none")
    for group, command in (("searcher", "search"), ("recipe", "retrain")):
        other = OmegaConf.create({"choices": {group: "x", "search_space": "mini"}})
        migrate(other)
        assert other.command == command
        assert "tf32" not in other
    search, retraining = {"generation": 3}, {"fairpath": {"steps": 1}}
    for checkpoint in (search, retraining):
        migrate(checkpoint=checkpoint)
    assert (search["command"], retraining["command"]) == ("search", "retrain")


def test_it_trains_on(old: Path) -> None:
    arguments = [f"resume={old}", "budget.steps=24"]
    assert launch("train", train_main, arguments) == 0
    metrics = [pd.read_csv(folder / METRICS).drop(columns=list(WALL_CLOCK)) for folder in (STORED, old)]
    assert metrics[1].step.max() == 24
    pd.testing.assert_frame_equal(metrics[0], metrics[1][:20])
    assert json.loads((old / RESULT).read_text())["schema"] == 2


def test_it_ranks_to_its_stored_scores(old: Path, tmp_path: Path) -> None:
    paths = tmp_path / "paths.csv"
    stored = pd.read_csv(old / SCORES)
    stored[["arch"]].drop_duplicates().to_csv(paths, index=False)
    arguments = [f"run={old}", f"paths={paths}", "calibration_images=50", "device=cpu", f"out={tmp_path / 'rank'}"]
    assert launch("rank", rank_main, arguments) == 0
    keys, columns = ["bn", "arch"], ["accuracy", "loss", "params", "macs"]
    before, after = (
        table.sort_values(keys)[columns].reset_index(drop=True)
        for table in (stored, pd.read_csv(tmp_path / "rank" / SCORES))
    )
    pd.testing.assert_frame_equal(before, after, rtol=1e-4)
    assert json.loads((tmp_path / "rank" / RESULT).read_text())["ranked_by"] == "accuracy"


def test_it_exports(old: Path, tmp_path: Path) -> None:
    arguments = [f"run={old}", "arch=2-0-2-1-1", "formats=[module]", f"out={tmp_path / 'export'}"]
    assert launch("export", export_main, [*arguments, f"hydra.run.dir={tmp_path / 'log'}"]) == 0
    assert (tmp_path / "export" / "model.py").is_file()
