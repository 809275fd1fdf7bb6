"""Images that have moved since a run was made: every later command takes dataset.root, and other images are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src import export, rank, retrain, search, train
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG
from src.search_spaces.mini import Mini
from tests.datasets.made_images import make_split, noise

SHORT = ["budget.steps=2", "batch_size=8", "validation.paths=2", "ranking.paths=2", "benchmark=none", "logger=csv"]


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """(run folder, new folder of its images); the run was started with a relative root."""
    make_split(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    data = ["dataset=image_folder", "dataset.root=images", "dataset.val=6", "dataset.cache=null"]
    assert launch("train", train.main, [*SHORT, *data, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert OmegaConf.load(tmp_path / "run" / CONFIG).dataset.root == str(tmp_path / "images")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    monkeypatch.chdir("/")
    return tmp_path / "run", tmp_path / "elsewhere"


COMMANDS: list[tuple[str, Callable[..., None], list[str]]] = [
    ("train", train.main, ["resume={run}", "budget.steps=3"]),
    ("search", search.main, ["run={run}", "budget.models=4", "searcher.population=2", "logger=csv"]),
    ("rank", rank.main, ["run={run}", "paths=2", "bn=running"]),
    ("export", export.main, ["run={run}", "arch=0-0-0-0-0", "formats=module"]),
    ("retrain", retrain.main, ["run={run}", "arch=0-0-0-0-0", "budget.steps=1", "batch_size=8", "logger=csv"]),
]


@pytest.mark.parametrize(("name", "main", "arguments"), COMMANDS, ids=[name for name, *_ in COMMANDS])
def test_every_later_command_takes_the_new_root(
    name: str,
    main: Callable[..., None],
    arguments: list[str],
    moved: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, images = moved
    asked = [argument.format(run=run) for argument in arguments]
    if name != "train":
        asked.append(f"hydra.run.dir={tmp_path / 'later'}")
    assert launch(name, main, asked) == 2
    assert "dataset.root=<folder>" in capsys.readouterr().err
    assert launch(name, main, [*asked, f"dataset.root={images}"]) == 0


def test_other_images_are_refused(moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, images = moved
    noise(7).save(images / "train" / "cat" / "0000.png", compress_level=0)
    assert launch("train", train.main, [f"resume={run}", "budget.steps=3", f"dataset.root={images}"]) == 2
    assert "cat/0000.png; restore them, or start a new run" in capsys.readouterr().err


def test_a_run_on_embedded_images_has_no_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", train.main, [*SHORT, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    asked = [f"run={tmp_path / 'run'}", "dataset.root=here", "logger=csv", f"hydra.run.dir={tmp_path / 'search'}"]
    assert launch("search", search.main, asked) == 2
    assert "do not come from a folder" in capsys.readouterr().err


def test_a_search_takes_the_new_places_of_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, folder = tmp_path / "truth.csv", tmp_path / "search"
    shutil.copy("experiments/ground_truth_mini/table.csv", truth)
    choices = [(layer, choice) for layer, size in enumerate(Mini().sizes) for choice in range(size)]
    rows = [f"{layer},{choice},op,{layer + choice + 1}" for layer, choice in choices]
    text = "\n".join(["layer,choice,operation,milliseconds", "fixed,0,stem,1", *rows]) + "\n"
    (tmp_path / "latency.csv").write_text(text)
    asked = [
        *("evaluator=truth", "search_space=mini", "benchmark=table", "benchmark.name=mine", f"benchmark.path={truth}"),
        *("objectives=[accuracy,latency]", f"latency.table={tmp_path / 'latency.csv'}", "searcher=nsga2"),
        *("searcher.population=4", "logger=csv", f"hydra.run.dir={folder}"),
    ]
    assert launch("search", search.main, [*asked, "budget.models=8"]) == 0, capsys.readouterr().err
    (tmp_path / "new").mkdir()
    for name in ("truth.csv", "latency.csv"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    more = [f"resume={folder}", "budget.models=12"]
    assert launch("search", search.main, more) == 2
    assert "benchmark.path" in capsys.readouterr().err
    more.append(f"benchmark.path={tmp_path / 'new' / 'truth.csv'}")
    assert launch("search", search.main, more) == 2
    assert "latency.table" in capsys.readouterr().err
    assert launch("search", search.main, [*more, f"latency.table={tmp_path / 'new' / 'latency.csv'}"]) == 0
