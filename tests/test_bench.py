"""The bench command: what it counts is exact, what it times is only recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from src.bench import main
from src.benches.evaluate import largest_difference, multiply_adds
from src.benches.lone_step import LoneStep, largest_need
from src.benches.timing import Spread, noise, spread
from src.datasets.input_spec import InputSpec
from src.runtime.launch import launch
from src.samplers.fixed import Fixed
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.supernet.evaluator import Score

MINI = ["search_space=mini", "image_size=8"]
EVALUATE = [*MINI, "images=20", "calibration_images=20", "batch_size=16", "plain_paths=13"]


def bench(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], str]:
    """result.json, and what was printed."""
    assert launch("bench", main, [*arguments, f"hydra.run.dir={folder}"]) == 0
    result, printed = json.loads((folder / "result.json").read_text()), capsys.readouterr().out
    word, number = printed.splitlines()[-1].split(" ")
    assert word == "ratio"
    assert float(number) == pytest.approx(result["ratio"], rel=0.01)
    assert result["ratio"] > 0
    for key in ("device", "threads", "commit", "torch", "date"):
        assert result[key]
    return result, printed


@pytest.mark.parametrize("protocol", ["running", "batch", "adapt", "recalibrate"])
def test_all_of_mini(protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, printed = bench(tmp_path, capsys, *EVALUATE, f"bn={protocol}")
    assert result["figures"]["paths"] == 243
    assert result["figures"]["block_evaluations"] == {"plain": 1215, "shared": 363}
    assert result["figures"]["largest_difference"] == {"accuracy": 0.0, "loss": 0.0}
    assert result["figures"]["plain_groups"] == 10
    assert result["settings"]["bn"] == protocol
    assert "363" in printed


def test_some_paths_of_a_space_of_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ["search_space=nas_bench_201", "search_space.cells=1", "image_size=8", "paths=3", "plain_paths=2"]
    result, _ = bench(tmp_path, capsys, *space, "images=4", "batch_size=4", "threads=1")
    assert result["figures"]["block_evaluations"]["plain"] == 18
    assert 8 <= result["figures"]["block_evaluations"]["shared"] <= 18
    assert result["figures"]["multiply_adds"] is None
    assert result["figures"]["largest_difference"] == {"accuracy": 0.0, "loss": 0.0}
    assert result["threads"] == 1


def test_multiply_adds_of_nas_bench_macro() -> None:
    space = NasBenchMacro()
    work = multiply_adds(space, space.reference, list(space.paths()))
    assert work.plain == sum(space.costs(path).macs for path in space.paths())
    assert round(work.bound, 2) == 3.73


def test_multiply_adds_of_one_path_are_its_own() -> None:
    space = Mini()
    work = multiply_adds(space, InputSpec(1, 10, 8), [(0, 1, 2, 0, 1)])
    assert work.plain == work.shared == space.costs((0, 1, 2, 0, 1)).macs


def test_the_largest_difference_shows_what_is_no_number() -> None:
    found = largest_difference({(0,): Score(0.5, 2.0), (1,): Score(0.25, 1.0)}, {(0,): Score(0.5, 2.0)})
    assert found == {"accuracy": 0.0, "loss": 0.0}
    found = largest_difference({(0,): Score(0.5, 2.0), (1,): Score(0.5, 1.0)}, {(0,): Score(0.25, float("nan"))})
    assert found["accuracy"] == 0.25
    assert found["loss"] != found["loss"]


def test_importance_beside_spos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*MINI, "batch_size=8", "rounds=1", "steps=2", "threads=1"]
    result, printed = bench(tmp_path, capsys, "bench=importance", *small)
    rows = {row["method"]: row for row in result["figures"]["methods"]}
    assert list(rows) == ["spos", "paths", "images", "paths and images", "gradient variance"]
    assert all(name in printed for name in rows)
    assert result["ratio"] == pytest.approx(1 / (1 + rows["paths and images"]["increase"]["median"]))
    # four numbers a weight, and 29 bytes for each of 45,000 images
    more = {name: row["bytes"] - rows["spos"]["bytes"] for name, row in rows.items()}
    images = 29 * 45_000
    assert [more[name] for name in ("paths", "images", "paths and images")] == [0, images, images]
    assert more["gradient variance"] == 16 * rows["spos"]["parameters"]


def test_steps_of_a_network_space_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["case=expanded_mini", "cases.expanded_mini.search_space.depth=2", "batch_size=8", "rounds=2", "steps=1"]
    result, printed = bench(tmp_path, capsys, "bench=step", *small)
    rows = {row["method"]: row["of_plain"]["median"] for row in result["figures"]["methods"]}
    assert next(iter(rows)) == "largest network" and rows["largest network"] == 1
    assert all(name in printed for name in rows) and len(rows) == 5
    assert result["ratio"] == pytest.approx(1 / rows["weights, hard"])


def test_seven_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, printed = bench(
        tmp_path, capsys, "bench=inter_choice", *MINI, "batch_size=8", "rounds=1", "steps=1", "threads=1"
    )
    rows = {row["method"]: row for row in result["figures"]["methods"]}
    net = Mini().build(1, 10, 8)
    plain = sum(parameter.numel() for parameter in net.parameters())
    copied = sum(parameter.numel() for layer in list(net.layers)[1:] for parameter in layer.parameters())
    channels = (8, 8, 12, 12)  # of the inputs of layers 1 to 4
    added = {
        "none": 0,
        "bias": sum(3**2 * c for c in channels),
        "bias_2": sum(3 ** min(layer + 2, 3) * c for layer, c in enumerate(channels)),
        "bias_3": sum(3 ** min(layer + 2, 4) * c for layer, c in enumerate(channels)),
        "shared_bias": sum((3 + 3) * c for c in channels),
        "attention": sum((3 + 3 + 1) * c for c in channels),
        "split": 2 * copied,
    }
    assert {name: row["parameters"] - plain for name, row in rows.items()} == added
    assert rows["split"]["parameters_ratio"] == pytest.approx(1 + 2 * copied / plain)
    assert all(name in printed for name in added)
    assert rows["none"]["increase"] == {"low": 0.0, "median": 0.0, "high": 0.0}
    assert result["ratio"] == pytest.approx(1 / (1 + rows["bias"]["increase"]["median"]))
    # A copy that was once trained has its momentum, and a table is held twice more: itself, momentum, gradient.
    assert rows["split"]["bytes"] - rows["none"]["bytes"] >= 4 * 2 * 2 * copied
    assert rows["bias"]["bytes"] - rows["none"]["bytes"] >= 4 * 3 * added["bias"]


class Square(nn.Module):
    """Logits of one weight, of which autograd saves what can be counted by hand."""

    op_ids = None

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 10, bias=False)

    def forward(self, x: torch.Tensor, route: object) -> torch.Tensor:
        """Images (B, 1, 2, 3) to logits (B, 10)."""
        return self.linear(x.flatten(1))


def test_bytes_that_a_pass_needs() -> None:
    (batch,) = noise(InputSpec(1, 10, 8), 4, 1, seed=0).batches("train", 4, torch.device("cpu"))
    batch = type(batch)(batch.images[..., :2, :3].contiguous(), batch.labels, batch.index, batch.positions)
    net: Any = Square()  # as much of a supernet as one step needs
    step = LoneStep(net, Fixed((1,), paths="0"), lambda n: torch.optim.SGD(n.parameters(), 0.1, momentum=0.9))
    before = net.linear.weight.detach().clone()
    step.fill_state()
    needed = largest_need(step, batch, steps=2)
    weights, images, log_softmax, labels = 60 * 4, 24 * 4, 40 * 4, 4 * 8
    assert needed >= 3 * weights + images + log_softmax + labels  # weight, momentum, gradient, and what was saved
    assert needed <= 3 * weights + images + log_softmax + labels + 64  # a few scalars of the loss
    assert torch.equal(net.linear.weight, before)


def test_spread() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(2.0, 3.0, 4.0)
    assert spread([2.0]) == Spread(2.0, 2.0, 2.0)
    assert spread([1.0, 2.0]).times(4) == Spread(5.0, 6.0, 7.0)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["bench=scoring"], "evaluate, data, overhead, inter_choice"),
        (["bench=evaluat"], "did you mean evaluate?"),
        (["paths=some"], "from 1 to 100000"),
        (["paths=0"], "from 1 to 100000"),
        (["plain_paths=0"], "at least 1"),
        (["images=1.5"], "whole number"),
        (["bn=frozen"], "recalibrate"),
        (["threads=0"], "threads"),
        (["device=tpu"], "auto, cpu, cuda"),
        (["channels_last=maybe"], "true or false"),
        (["bench=inter_choice", "rounds=0"], "rounds"),
        (["bench=inter_choice", "steps=few"], "steps"),
        (["bench=inter_choice", "optimizer.momentum=-1"], "momentum"),
        (["search_space=mobilenet_b", "image_size=64"], "take a sample"),
        (["image_size=1", "paths=2"], "image_size"),
        (["round=3"], "rounds"),
    ],
)
def test_what_is_refused(arguments: list[str], names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert launch("bench", main, [*arguments, f"hydra.run.dir={folder}"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("error: ")
    assert names in line
    assert captured.out == ""
    assert not folder.exists()
