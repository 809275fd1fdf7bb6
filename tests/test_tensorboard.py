"""logger=tensorboard: event files as TensorBoard's own reader sees them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from src import search, train
from src.runtime.launch import launch
from tests.conftest import drawing
from tests.test_bad_input import check_one_line

pytest.importorskip("tensorboard")
SHORT = ["validation.paths=2", "ranking.paths=2", "ranking.images=50", "benchmark=none", "logger=tensorboard"]


@pytest.fixture(autouse=True)
def _pictures() -> Iterator[None]:
    with drawing():
        yield


def curve(run: Path, name: str) -> list[int]:
    """The steps of a curve."""
    return [event.step for event in read(run).Scalars(name)]


def read(run: Path):  # type: ignore[no-untyped-def]  # noqa: ANN201
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return events


def test_curves_are_drawn_over_backward_passes_and_pictures_are_there(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert launch("train", train.main, [*SHORT, "budget.steps=4", f"hydra.run.dir={run}"]) == 0
    assert curve(run, "train/loss") == [3, 6, 9, 12]
    assert curve(run, "fairness/final_count_spread") == [12]
    pictures = read(run).Images("rank/histogram_recalibrate")
    assert [picture.step for picture in pictures] == [12] and pictures[0].width > 100


def test_a_run_that_goes_on_has_one_curve(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert launch("train", train.main, [*SHORT, "budget.steps=4", f"hydra.run.dir={run}"]) == 0
    assert launch("train", train.main, [f"resume={run}", "budget.steps=6"]) == 0
    assert curve(run, "train/loss") == [3, 6, 9, 12, 15, 18]


def test_curves_of_epochs_are_whole_after_a_stop(tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = [*SHORT, "sampler=path_importance_unbiased", "order=data_importance_unbiased", "batch_size=400"]
    assert launch("train", train.main, [*asked, "budget.epochs=4", f"hydra.run.dir={run}"]) == 0
    whole = {name for name in read(run).Tags()["scalars"] if name.startswith("importance/")}
    events = read(run)
    before = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in whole}
    assert launch("train", train.main, [f"resume={run}", "budget.epochs=5"]) == 0
    events = read(run)
    after = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in whole}
    assert whole and all(len(after[name]) > len(before[name]) for name in whole)
    assert all(after[name][: len(before[name])] == before[name] for name in whole)


def test_a_search_is_drawn_over_the_networks_it_has_seen(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    asked = ["evaluator=truth", "benchmark=mini", "searcher.population=4", "budget.models=12", "logger=tensorboard"]
    assert launch("search", search.main, [*asked, f"hydra.run.dir={folder}"]) == 0
    assert curve(folder, "search/hypervolume") == [4, 8, 12]
    assert read(folder).Images("search/front")


def test_without_its_package_it_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert launch("train", train.main, [*SHORT, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    check_one_line(capfd.readouterr().err, "pip install tensorboard")
    assert not (tmp_path / "run" / "metrics.csv").exists()
