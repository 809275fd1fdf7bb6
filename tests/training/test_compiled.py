"""step=compiled: the window as a static graph makes the update of step=serial, and is compiled once."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.utils import counters

from src.datasets.input_spec import InputSpec
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.supernet.choice import is_permuted, routing_of
from src.training import compiled as static
from src.training.compiled import CompiledWindow
from tests.training.short_training import assert_same, images, make_net, train
from tests.training.test_window import FEW, LARGE, MANY, SPACES

CASES: dict[str, tuple[SearchSpace, InputSpec, str]] = {
    **{name: (*example, "none") for name, example in (SPACES | LARGE).items()},
    "mini, bias": (*SPACES["mini"], "bias"),
    "mini, attention": (*SPACES["mini"], "attention"),
    "cells, true predecessors": (NasBench201("conv_only", 1), InputSpec(3, 5, 8), "bias_2"),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing compiled before; traced as for a compiler, but run by torch itself, which takes seconds less."""
    torch.compiler.reset()
    counters.clear()
    monkeypatch.setattr(static, "BACKEND", "aot_eager")


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        *((name, FEW) for name in CASES if name not in LARGE),
        *(pytest.param(name, MANY, marks=pytest.mark.slow) for name in CASES if "short" not in name),
    ],
)
def test_the_compilable_window_is_the_serial_step(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncompiled, which is the same graph."""
    monkeypatch.setattr(CompiledWindow, "_compile", lambda self, device: self.net.compilable_window)
    space, input_spec, method = CASES[name]
    serial = train(space, input_spec, method, steps, way="serial")
    assert_same(serial, train(space, input_spec, method, steps, way="compiled"))


@pytest.mark.parametrize("name", ["mini", pytest.param("cells, true predecessors", marks=pytest.mark.slow)])
def test_it_is_compiled_once(name: str) -> None:
    space, input_spec, method = CASES[name]
    serial = train(space, input_spec, method, way="serial", steps=5)
    assert not counters["stats"]
    assert_same(serial, train(space, input_spec, method, way="compiled", steps=5))
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.slow
def test_it_is_compiled_by_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "BACKEND", "inductor")
    space, input_spec, method = CASES["mini"]
    serial = train(space, input_spec, method, way="serial", steps=5)
    assert_same(serial, train(space, input_spec, method, way="compiled", steps=5), 1e-6, 1e-7)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.slow
def test_another_graph_is_refused() -> None:
    space, input_spec, _ = CASES["mini"]
    window = CompiledWindow(make_net(space, input_spec))
    paths = [(c,) * 5 for c in range(3)]
    (few,), (more,) = images(input_spec, 1, 4), images(input_spec, 1, 6)
    window(few.images, paths)
    with pytest.raises(RuntimeError, match="recompile"):
        window(more.images, paths)


def test_weights_are_in_their_memory_format_on_the_way() -> None:
    net = Mini().build(1, 10, 8).to(memory_format=torch.channels_last)
    seen: list[bool] = []
    for block in net.layers:
        block.choices[0].register_forward_pre_hook(  # type: ignore[index, union-attr]
            lambda module, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
        )
    routing = routing_of([(c,) * 5 for c in range(3)], torch.device("cpu"), torch.float32)
    net.compilable_window(torch.randn(4, 1, 8, 8).to(memory_format=torch.channels_last), routing)
    assert seen == [True] * 5


def test_permutations() -> None:
    assert is_permuted([(0, 1), (1, 0)], (2, 2))
    assert not is_permuted([(0, 1), (0, 0)], (2, 2))
    assert not is_permuted([(0, 1), (1, 0)], (2, 3))
    assert not is_permuted([(torch.ones(2), 1), (1, 0)], (2, 2))
    assert not is_permuted([(0, 0)], (2, 2))
