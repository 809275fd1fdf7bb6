"""bench=step: what it counts is exact; what it times is only recorded."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from src.bench import main
from src.benches import data, growth
from src.benches import step as step_bench
from src.benches.build import GrowthSettings, build
from src.benches.growth import Point, points
from src.benches.overhead import bare_loop, lightning_loop
from src.benches.plain_loop import Pictures, PlainLoop
from src.benches.roofline import Limits, Work, work_of_a_step
from src.benches.timing import Spread, noise
from src.benches.turns import best_ratio, over
from src.benches.way_process import Turn, _timed
from src.benches.ways import Case, evenly_dealt, make_step
from src.datasets.input_spec import InputSpec
from src.runtime.config_reference import CONF
from src.runtime.launch import launch
from src.search_spaces.mini import Mini

SPACE, GIVEN = Mini(), InputSpec(1, 10, 8)
MINI = {"_target_": "src.search_spaces.mini.Mini"}


class WayHere:
    """A way in this process, which has all that takes time to import."""

    def __init__(self, way: str) -> None:
        self.way = way

    def turn(self, case: Case, steps: int) -> Turn:
        step = make_step(self.way, case, torch.device("cpu"))
        return Turn([_timed(step, torch.device("cpu")) for _ in range(steps)], 0.0, 0)


@pytest.fixture(params=["here", pytest.param("in processes", marks=pytest.mark.slow)])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways in this process, and in the slow tests in processes as the command runs them."""
    if request.param == "here":
        for module in (growth, step_bench):
            monkeypatch.setattr(module, "ways_in_processes", lambda ways: nullcontext({w: WayHere(w) for w in ways}))


@pytest.mark.usefixtures("_ways")
def test_every_way_takes_its_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench=step", "case=mini", "batch_size=8", "rounds=2", "steps=1", "threads=1"]
    assert launch("bench", main, [*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    case = result["figures"]["cases"]["mini"]
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

    assert best_ratio([row("plain", 1.0), row("serial", 1.5), row("window", 2.0)]) == 2.0
    assert best_ratio([row("plain", 1.0), row("serial", 0.5), row("window", None)]) == 0.5
    assert best_ratio([row("plain", None), row("serial", None)]) == 0.0


TINY = ["bench=step", "case=growth", "growth.channels=4", "growth.image_size=8", "rounds=1", "steps=1", "threads=1"]
TINY += ["growth.base.choices=2", "growth.base.layers=1", "growth.base.batch_size=4", "growth.batch_size=[4,8]"]
TINY += ["growth.layers=[]", "growth.choices=[2,3]", "growth.paths=[3,2]"]


@pytest.mark.usefixtures("_ways")
def test_growth_with_what_a_step_is_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("bench", main, [*TINY, f"hydra.run.dir={tmp_path}"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    found = [(e["varied"], e["choices"], e["layers"], e["batch_size"], e["paths"]) for e in result["figures"]["growth"]]
    assert found[:2] == [("choices", 2, 1, 4, 2), ("choices", 3, 1, 4, 3)]
    assert found[2:] == [
        ("batch_size", 2, 1, 4, 2),
        ("batch_size", 2, 1, 8, 2),
        ("paths", 2, 1, 4, 3),
        ("paths", 2, 1, 4, 2),
    ]
    ways = [{row["way"]: row for row in entry["ways"]} for entry in result["figures"]["growth"]]
    assert all(list(rows) == ["plain", "serial", "window"] for rows in ways)
    assert ways[0] == ways[2]  # the same point is measured once
    for first, other in ((0, 1), (2, 3), (4, 5)):
        assert all(row["growth"] == {"low": 1, "median": 1, "high": 1} for row in ways[first].values())
        for way, row in ways[other].items():  # of one round
            factor = row["seconds"]["median"] / ways[first][way]["seconds"]["median"]
            assert row["growth"]["median"] == pytest.approx(factor)
    assert result["ratio"] == min(max(rows[way]["ratio"]["median"] for way in ("serial", "window")) for rows in ways)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:5] for line in lines if line[4:5] == ["plain"]] == [[*map(str, f[1:]), "plain"] for f in found]


def test_seconds_over_others_are_those_of_the_same_round() -> None:
    slow, fast = ([Turn([scale * second], 0.0, 0) for second in (1.0, 5.0, 2.0)] for scale in (3, 1))
    assert over(slow, fast) == Spread(3.0, 3.0, 3.0)
    assert over(slow, [fast[0], None, None]) is None
    assert over([None] * 3, fast) is None


def test_one_thing_is_varied_at_a_time() -> None:
    base = Point(3, 4, 32, 3)
    growth_keys = OmegaConf.load(CONF / "bench.yaml").growth
    keys = {"bench": "step", "case": "growth", "rounds": 1, "steps": 1, "seed": 0, "ways": ["serial"]}
    keys |= {"channels_last": True, "precision": "32-true", "tf32": True, "growth": growth_keys}
    settings = build(OmegaConf.create(keys), torch.device("cpu"))
    assert isinstance(settings, GrowthSettings)
    for name, point in points(settings):
        differing = {field for field in Point._fields if getattr(point, field) != getattr(base, field)}
        assert differing <= ({"choices", "paths"} if name == "choices" else {name})
        assert name == "paths" or point.paths == point.choices


@pytest.mark.parametrize("paths", [1, 2, 3, 7])
def test_paths_share_the_choices_out_evenly(paths: int) -> None:
    for column in zip(*evenly_dealt((3, 3, 2), paths, seed=1), strict=True):
        counts = [column.count(choice) for choice in range(max(column) + 1)]
        assert sum(counts) == paths
        assert max(counts) - min(counts) <= 1
    assert evenly_dealt((3,) * 9, 3, seed=1) != evenly_dealt((3,) * 9, 3, seed=2)


@pytest.mark.parametrize(("precision", "wanted"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_our_ways_compute_in_the_precision_asked_for(precision: str, wanted: torch.dtype) -> None:
    case = Case(MINI, 8, 4, torch.get_num_threads(), "cpu", 0, precision=precision)
    step, seen = make_step("serial", case, torch.device("cpu")), list[torch.dtype]()
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, output: seen.append(output.dtype) if isinstance(module, nn.Conv2d) else None
    )
    try:
        step()
    finally:
        handle.remove()
    assert set(seen) == {wanted}


@pytest.mark.slow
def test_the_compiled_way_takes_its_turns(tmp_path: Path) -> None:
    arguments = ["bench=step", "case=mini", "ways=[compiled]", "batch_size=8", "rounds=1", "steps=1", "threads=1"]
    assert launch("bench", main, [*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    plain, compiled = json.loads((tmp_path / "result.json").read_text())["figures"]["cases"]["mini"]["ways"]
    assert compiled["first_step_seconds"] > 5 * compiled["seconds"]["median"]  # it compiled, and then did not
    assert plain["ratio"]["median"] == 1


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
    figures = result["figures"]["cases"]["mini"]
    assert figures["bare_seconds"]["median"] > 0
    assert result["ratio"] == pytest.approx(1 / (1 + figures["overhead"]["median"]))
    assert "mini" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about more workers than cores
def test_both_readers_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "FILES", 8)
    arguments = ["bench=data", "batch_size=4", "rounds=1", "steps=1", "threads=1"]
    assert launch("bench", main, [*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["figures"]["data"]) == {"memory", "files"}
    assert result["ratio"] == min(figures["ratio"]["median"] for figures in result["figures"]["data"].values())


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
    [
        (["case=macro"], "nas_bench_macro"),
        (["case=growth", "bench=overhead"], "mini"),
        (["case=growth", "ways=[serial,compiled]"], "ways=[serial,window]"),
        (["ways=[fast]"], "serial, window, compiled"),
        (["ways=[]"], "serial"),
        (["precision=16-mixed"], "bf16-mixed"),
        (["tf32=2"], "true or false"),
        (["growth.layers=3"], "growth.layers"),
        (["growth.choices=[2,0]"], "at least 1"),
        (["growth.paths=[two]"], "whole number"),
        (["growth.base.layers=null"], "growth.base.layers"),
        (["growth.base.paths=3"], "batch_size"),
        (["growth.choices=[]", "growth.layers=[]", "growth.batch_size=[]", "growth.paths=[]"], "growth.paths=[1,2,4]"),
    ],
)
def test_what_is_refused(arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("bench", main, ["bench=step", *arguments, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert names in line
