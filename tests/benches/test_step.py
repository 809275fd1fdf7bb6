"""bench=step: what it counts is exact; what it times is only recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from src.bench import main
from src.benches import data
from src.benches.overhead import bare_loop, lightning_loop
from src.benches.plain_loop import Pictures, PlainLoop
from src.benches.roofline import Limits, Work, work_of_a_step
from src.benches.step import best_ratio
from src.benches.timing import noise
from src.command import launch
from src.search_spaces.mini import Mini
from src.search_spaces.space import Input

SPACE, GIVEN = Mini(), Input(1, 10, 8)


def test_every_way_takes_its_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench=step", "case=mini", "batch_size=8", "rounds=2", "steps=1", "threads=1"]
    assert launch("bench", main, [*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    case = result["cases"]["mini"]
    assert [row["way"] for row in case["ways"]] == ["plain", "serial", "window"]
    assert case["paths"] == 3
    for row in case["ways"]:
        assert row["fits"]
        assert row["path_images_per_second"] == pytest.approx(3 * row["images_per_second"])
        assert row["images_per_second"] == pytest.approx(8 / row["seconds"]["median"])
    assert case["ways"][0]["ratio"]["median"] == 1
    assert result["ratio"] == pytest.approx(max(row["ratio"]["median"] for row in case["ways"][1:]))
    assert capsys.readouterr().out.splitlines()[-1].startswith("ratio ")


def test_the_ratio_of_a_case_is_that_of_its_best_way() -> None:
    def row(way: str, ratio: float | None) -> dict[str, object]:
        return {"way": way, "ratio": ratio and {"median": ratio}}

    assert best_ratio({"ways": [row("plain", 1.0), row("serial", 1.5), row("window", 2.0)]}) == 2.0
    assert best_ratio({"ways": [row("plain", 1.0), row("serial", 0.5), row("window", None)]}) == 0.5
    assert best_ratio({"ways": [row("plain", None), row("serial", None)]}) == 0.0


def test_work_counts_all_choices_and_grows_with_the_batch() -> None:
    paths = [(choice,) * 5 for choice in range(3)]
    work = work_of_a_step(SPACE, GIVEN, 100)
    assert work.flops == 600 * sum(SPACE.costs(path, GIVEN).macs for path in paths)
    twice = work_of_a_step(SPACE, GIVEN, 200)
    assert 1.9 < twice.bytes / work.bytes < 2
    outputs = 3 * 100 * GIVEN.in_channels * 8 * 8 * 4
    assert work.bytes > outputs


def test_the_larger_of_two_bounds_is_named() -> None:
    assert Work(10.0, 10.0).bound(Limits(1.0, 2.0))["bound_by"] == "flops"
    bound = Work(10.0, 10.0).bound(Limits(2.0, 1.0))
    assert (bound["bound_by"], bound["seconds"]) == ("bytes", 10.0)


def test_the_plain_loop_trains_every_choice_in_every_step() -> None:
    pixels = torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8)
    net = SPACE.build(3, 10, 8)
    loop = PlainLoop(net, SPACE.sizes, Pictures(pixels, torch.arange(16) % 10), 8, 0, torch.device("cpu"))
    loop.step()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert {len(images) for images, _ in (next(loop.batches), next(loop.batches))} == {8}


def test_overhead_of_two_loops_that_compute_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench=overhead", "case=mini", "batch_size=8", "rounds=2", "steps=3", "threads=1"]
    assert launch("bench", main, [*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    figures = result["cases"]["mini"]
    assert figures["bare_seconds"]["median"] > 0
    assert result["ratio"] == pytest.approx(1 / (1 + figures["overhead"]["median"]))
    assert "mini" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about more workers than cores
def test_both_readers_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "FILES", 8)
    arguments = ["bench=data", "batch_size=4", "rounds=1", "steps=1", "threads=1"]
    assert launch("bench", main, [*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["data"]) == {"memory", "files"}
    assert result["ratio"] == min(figures["ratio"]["median"] for figures in result["data"].values())


def test_the_bare_loop_and_lightning_take_the_same_steps() -> None:
    """The same paths on the same images: batch norms end alike, the learning rate being 0."""
    states = []
    for loop in (bare_loop, lightning_loop):
        torch.manual_seed(0)
        net = SPACE.build(1, 10, 8)
        images = noise(GIVEN, 16, 1, 0)
        seconds = list(loop(net, SPACE, images.train_loader(8, 4, 0, torch.device("cpu")), 3, torch.device("cpu")))
        assert len(seconds) == 3
        states.append(net.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value)


@pytest.mark.parametrize("side", [8, 64])
def test_pictures_keep_shape_and_are_normalised(side: int) -> None:
    pixels = torch.full((2, 3, side, side), 255, dtype=torch.uint8)
    image, label = Pictures(pixels, torch.tensor([3, 4]))[1]
    assert image.shape == (3, side, side)
    assert image.max() == 2
    assert label == 4


@pytest.mark.parametrize(
    ("arguments", "names"),
    [(["case=macro"], "nas_bench_macro"), (["ways=[fast]"], "serial, window, compiled"), (["ways=[]"], "serial")],
)
def test_what_is_refused(arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("bench", main, ["bench=step", *arguments, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert names in line
