"""Inter-choice weights: what they add, what they leave alone, how many there are."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import Proxyless
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import BatchNorm
from src.supernet.dependences import BiasTable, tables
from src.supernet.frozen import frozen_rows
from src.supernet.inter_choice import (
    Attention,
    Bias,
    InterChoice,
    SharedBias,
    Split,
    copied_parameters,
    input_channels,
    is_split,
    split_weights,
)
from src.supernet.path import Route
from src.supernet.supernet import Supernet
from src.training.optimizer import extend, parameter_groups
from tests.search_spaces.examples import SPACES, ShortB, ShortProxyless

CELLS = NasBench201(cells=1)
SMALL: dict[str, tuple[SearchSpace, InputSpec]] = {
    "mini": (Mini(), InputSpec(1, 10, 8)),
    "proxyless": (Proxyless(channels=(4, 4, 6, 6, 8, 8)), InputSpec(3, 10, 48)),
    "nas_bench_201": (CELLS, InputSpec(3, 10, 8)),
}
NARROW = (8, 8, 12, 12, 16, 16)
KINDS = {name: example for name, example in SPACES.items() if name != "mobilenet_a"} | {
    "mobilenet_b": (ShortB(NARROW, 1, (1, 2, 2, 1, 2, 1)), InputSpec(3, 10, 31)),
    "proxyless": (ShortProxyless(NARROW), InputSpec(3, 10, 48)),
    "nas_bench_macro": (NasBenchMacro((8, 12, 16)), InputSpec(3, 10, 16)),
}
"""Every space, the deep ones short and narrow."""


def make(space: SearchSpace, input_spec: InputSpec, inter_choice: InterChoice) -> Supernet:
    torch.manual_seed(0)
    net = space.build(*input_spec).double()
    inter_choice.attach(net, images(input_spec)[:2])
    return net.double()


def images(input_spec: InputSpec, count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, input_spec.in_channels, *[input_spec.image_size] * 2, generator=generator).double()


def routes(space: SearchSpace) -> list[Route]:
    generator = torch.Generator().manual_seed(2)
    paths: list[Route] = [space.sample(generator) for _ in range(3)]
    weighted = tuple(torch.rand(size, generator=generator).double() for size in space.sizes)
    return [*paths, weighted]


def fill(net: nn.Module) -> None:
    """Give every table random content."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for table in tables(net):
            table.copy_(torch.randn(table.shape, generator=generator))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "kind",
    [Bias(1), Bias(2), Bias(3), Bias(1, "true"), Bias(2, "true"), SharedBias(2)],
    ids=lambda kind: repr(vars(kind)),
)
def test_zero_tables_change_nothing(name: str, kind: InterChoice) -> None:
    space, input_spec = SMALL[name]
    plain, net = make(space, input_spec, InterChoice()), make(space, input_spec, kind)
    for route in routes(space):
        assert torch.equal(plain(images(input_spec), route), net(images(input_spec), route))


@pytest.mark.parametrize(("name", "path"), [("mini", (0, 1, 2, 0, 1)), ("nas_bench_201", (3, 3, 1, 2, 3, 3))])
@pytest.mark.parametrize("kind", [Bias(1), Bias(2), SharedBias(1), Attention(1), Attention(2, hidden=True)])
def test_filled_tables_change_outputs(name: str, path: Route, kind: InterChoice) -> None:
    plain, net = make(*SMALL[name], InterChoice()), make(*SMALL[name], kind)
    fill(net)
    assert not torch.allclose(plain(images(SMALL[name][1]), path), net(images(SMALL[name][1]), path), atol=1e-3)


@pytest.mark.parametrize("name", ["mobilenet_b", "proxyless", "nas_bench_macro"])
def test_batch_norm_takes_every_bias_out_of_inverted_residuals(name: str) -> None:
    """A constant per channel, through a 1x1 convolution and a batch norm, is gone; what a residual carries on, too."""
    space, input_spec = KINDS[name]
    plain, net = make(space, input_spec, InterChoice()), make(space, input_spec, Bias(1))
    fill(net)
    path, *_ = routes(space)
    torch.testing.assert_close(plain(images(input_spec), path), net(images(input_spec), path), rtol=0, atol=1e-9)
    net(images(input_spec), path).square().sum().backward()
    assert all(table.grad is None or table.grad.abs().max() < 1e-9 for table in tables(net))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("predecessors", ["previous", "true"])
def test_a_split_changes_no_output(name: str, predecessors: str) -> None:
    if name.startswith("mobilenet") and predecessors == "true":
        pytest.skip("in a row, both are the same")
    space, input_spec = KINDS[name]
    net = make(space, input_spec, Split(predecessors=predecessors))
    trained = copy.deepcopy(net)
    split_weights(net)
    assert is_split(net)
    assert not is_split(trained)
    path, *_ = routes(space)
    for mode in (True, False):
        assert torch.equal(trained.train(mode)(images(input_spec), path), net.train(mode)(images(input_spec), path))


@pytest.mark.parametrize("name", ["mini", "nas_bench_201"])
def test_a_split_changes_no_weighted_output(name: str) -> None:
    space, input_spec = SMALL[name]
    net = make(space, input_spec, Split())
    *_, weighted = routes(space)
    before = copy.deepcopy(net).eval()(images(input_spec), weighted)
    split_weights(net)
    torch.testing.assert_close(net.eval()(images(input_spec), weighted), before)


@pytest.mark.parametrize("kind", [Bias(2), SharedBias(2), Attention(1, hidden=True), Split()])
def test_weights_on_one_choice_are_that_choice(kind: InterChoice) -> None:
    space, input_spec = SMALL["mini"]
    net = make(space, input_spec, kind)
    fill(net)
    if isinstance(kind, Split):
        split_weights(net)
        drift(net)
    path = (2, 0, 1, 2, 1)
    weighted = tuple(torch.eye(3).double()[choice] for choice in path)
    torch.testing.assert_close(net.eval()(images(input_spec), weighted), net(images(input_spec), path))


def drift(net: nn.Module) -> None:
    """Make every copy differ from what it was copied from."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in copied_parameters(net):
            parameter.add_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_bias_tables_have_the_shapes_and_numbers_of_the_formula(depth: int) -> None:
    plain, net = (make(*SMALL["mini"], kind) for kind in (InterChoice(), Bias(depth)))
    inputs = (8, 8, 8, 12, 12)
    expected = [3 ** (min(layer, depth) + 1) * inputs[layer] for layer in range(1, 5)]
    assert [table.numel() for table in tables(net)] == expected
    assert tuple(tables(net)[-1].shape) == (3,) * (depth + 1) + (12,)
    assert count(net) == count(plain) + sum(expected)


def test_a_cell_has_a_table_for_each_edge_of_each_cell() -> None:
    net = make(NasBench201(cells=2), InputSpec(3, 10, 8), Bias(1))
    assert [tuple(table.shape) for table in tables(net)] == [(5, 5, c) for c in (16, 32, 64) for _ in range(2 * 5)]
    true = make(NasBench201(cells=2), InputSpec(3, 10, 8), Bias(1, "true"))
    assert [tuple(table.shape) for table in tables(true)][:3] == [(5, 5, 16), (5, 5, 16), (5, 5, 5, 16)]


def test_shared_bias_and_attention_have_the_numbers_of_the_formula() -> None:
    plain = count(make(*SMALL["mini"], InterChoice()))
    inputs = (8, 8, 12, 12)
    assert count(make(*SMALL["mini"], SharedBias(1))) - plain == sum(2 * 3 * c for c in inputs)
    assert count(make(*SMALL["mini"], Attention(1))) - plain == sum(2 * 3 * c + c for c in inputs)
    hidden = sum(2 * 3 * c + c + c * c + c for c in inputs)
    assert count(make(*SMALL["mini"], Attention(1, hidden=True))) - plain == hidden


@pytest.mark.parametrize(("name", "predecessors"), [*itertools.product(SMALL, ["previous", "true"])])
def test_a_split_has_the_parameters_of_the_formula(name: str, predecessors: str) -> None:
    space, input_spec = SMALL[name]
    net = make(space, input_spec, Split(predecessors=predecessors))
    before = count(net)
    added = sum((math.prod(block.before_sizes) - 1) * count(block) for _, block in net.blocks())
    split_weights(net)
    assert count(net) == before + added
    if name == "mini":  # every layer but the first, three times
        ops = [sum(count(Mini().op(layer, choice)) for choice in range(3)) for layer in range(5)]
        assert added == 2 * sum(ops[1:])


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_true_predecessors_of_a_cell_are_those_that_feed_an_edge() -> None:
    net = make(*SMALL["nas_bench_201"], Bias(1, "true"))
    assert [block.before for _, block in net.blocks()[:6]] == [(), (), (0,), (), (0,), (1, 2)]
    deep = make(*SMALL["nas_bench_201"], Bias(2, "true"))
    assert [block.before for _, block in deep.blocks()[:6]] == [(), (), (0,), (), (0,), (0, 1, 2)]
    listed = make(*SMALL["nas_bench_201"], Bias(2))
    assert [block.before for _, block in listed.blocks()[:4]] == [(), (0,), (0, 1), (1, 2)]


def test_a_bias_is_added_to_the_input_of_the_choice_at_hand() -> None:
    table = BiasTable((2, 3), 4).double()
    with torch.no_grad():
        table.table[1, 2] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    x = torch.zeros(2, 4, 5, 5).double()
    assert torch.equal(table(x, (1,), 2)[0, :, 3, 3], torch.tensor([1.0, 2.0, 3.0, 4.0]).double())
    assert torch.equal(table(x, (0,), 2), x)
    half = table(x, (torch.tensor([2.0, 2.0]).double(),), 2)  # weights count as shares
    assert torch.equal(half[0, :, 0, 0], torch.tensor([0.5, 1.0, 1.5, 2.0]).double())


def test_a_split_block_runs_the_copy_of_the_choice_before() -> None:
    net = make(*SMALL["mini"], Split())
    split_weights(net)
    block = net.blocks()[2][1]
    used = {id(block.operation(choice, (earlier,))) for choice in range(3) for earlier in range(3)}
    assert len(used) == 9
    net(images(SMALL["mini"][1]), (0, 1, 2, 0, 0))
    assert {p.grad is None for p in net.parameters()} == {True}
    net(images(SMALL["mini"][1]), (0, 1, 2, 0, 0)).sum().backward()
    reached = [m for c in range(3) for e in range(3) if any_gradient(m := block.operation(c, (e,)))]
    assert reached == [block.operation(2, (1,))]


def any_gradient(module: nn.Module) -> bool:
    return any(parameter.grad is not None for parameter in module.parameters())


def test_copies_take_over_statistics_and_momentum() -> None:
    input_spec = SMALL["mini"][1]
    net = make(*SMALL["mini"], Split())
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for path in ((1, 1, 1, 1, 1), (2, 2, 2, 2, 2)):
        net(images(input_spec), path).sum().backward()
    optimizer.step()
    pairs = split_weights(net)
    extend(optimizer, pairs)
    assert len(optimizer.param_groups[0]["params"]) == len(list(net.parameters()))
    for original, new in pairs:
        assert torch.equal(original, new)
        assert original.data_ptr() != new.data_ptr()
        assert (original in optimizer.state) == (new in optimizer.state)
        if original in optimizer.state:
            mine, theirs = optimizer.state[original]["momentum_buffer"], optimizer.state[new]["momentum_buffer"]
            assert torch.equal(mine, theirs)
            assert mine.data_ptr() != theirs.data_ptr()
    block = net.blocks()[1][1]
    norms = [[m for m in block.operation(1, (e,)).modules() if isinstance(m, BatchNorm)] for e in range(3)]
    assert all(torch.equal(norms[0][0].running_mean, other[0].running_mean) for other in norms)  # type: ignore[arg-type]


def test_an_optimizer_made_after_the_split_has_the_order_of_one_that_was_extended() -> None:
    net = make(*SMALL["mini"], Split())
    for norm_decay in (True, False):
        mine = copy.deepcopy(net)
        extended = torch.optim.SGD(parameter_groups(mine, 1e-3, norm_decay, None), 0.1)
        extend(extended, split_weights(mine))
        made = torch.optim.SGD(parameter_groups(mine, 1e-3, norm_decay, None), 0.1)
        for one, other in zip(extended.param_groups, made.param_groups, strict=True):
            assert [id(p) for p in one["params"]] == [id(p) for p in other["params"]]


def test_tables_have_a_weight_decay_of_their_own() -> None:
    net = make(*SMALL["mini"], Bias(1))
    own = {id(table) for table in tables(net)}
    for norm_decay in (True, False):
        groups = parameter_groups(net, 1e-3, norm_decay, 0.5)
        assert [id(p) in own for p in groups[-1]["params"]] == [True] * len(own)
        assert groups[-1]["weight_decay"] == 0.5
        assert not any(id(p) in own for group in groups[:-1] for p in group["params"])
        assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    decays = [g["weight_decay"] for g in parameter_groups(net, 1e-3, False, None) for p in g["params"] if id(p) in own]
    assert set(decays) == {1e-3}


@pytest.mark.parametrize("make_optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_rows_that_no_route_looked_up_stay_where_they_are(make_optimizer: type[torch.optim.Optimizer]) -> None:
    table = nn.Parameter(torch.ones(3, 3, 4))
    settings: dict[str, Any] = {"momentum": 0.9} if make_optimizer is torch.optim.SGD else {}
    optimizer = make_optimizer([table], lr=0.1, weight_decay=0.1, **settings)  # type: ignore[call-arg]
    for used in ((0, 1), (2, 2), (0, 1)):
        before = table.detach().clone()
        optimizer.zero_grad()
        table[used].sum().backward()
        with frozen_rows([table], optimizer):
            optimizer.step()
        moved = (table != before).any(-1)
        assert moved.nonzero().tolist() == [list(used)]
    held = [value for value in optimizer.state[table].values() if value.shape == table.shape]
    assert held
    for value in held:
        assert {tuple(row) for row in value.any(-1).nonzero().tolist()} == {(0, 1), (2, 2)}


def test_the_split_comes_after_an_epoch_or_a_share_of_the_budget() -> None:
    assert Split(fraction=0.7).split_step(100, 10) == 70
    assert Split(epoch=2.5).split_step(100, 10) == 25
    assert Bias().split_step(100, 10) is None
    with pytest.raises(UsageError, match="10 epochs"):
        Split(epoch=10).split_step(100, 10)


@pytest.mark.parametrize(
    ("make_it", "named"),
    [
        (lambda: Bias(0), "inter_choice=none"),
        (lambda: Bias(-1), "1 or more"),
        (lambda: Bias(1, "next"), "previous, true"),
        (lambda: Bias(weight_decay=-1), "inter_choice.weight_decay"),
        (lambda: Split(fraction=1.5), "from 0 to 1"),
        (lambda: Split(epoch=-1), "inter_choice.epoch"),
        (lambda: Split(fraction=None), "inter_choice.fraction"),
        (lambda: make(*SMALL["proxyless"], Bias(12)), "smaller depth"),
    ],
)
def test_wrong_settings_are_refused(make_it: object, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        make_it()  # type: ignore[operator]


def test_input_channels_are_those_of_the_space() -> None:
    net = Mini().build(1, 10, 8)
    channels = input_channels(net, torch.zeros(2, 1, 8, 8))
    assert [channels[block] for _, block in net.blocks()] == [8, 8, 8, 12, 12]
    assert net.training
