"""A path cut out of a supernet is that path: its outputs under running statistics are equal, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src.cut import cut_out
from src.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import Input, SearchSpace
from src.supernet.inter_choice import Attention, Bias, InterChoice, Split, split_weights
from src.supernet.path import Path
from tests.search_spaces.examples import SPACES


def images_of(given: Input, count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, given.in_channels, given.image_size, given.image_size, generator=generator)


def supernet(space: SearchSpace, given: Input, inter_choice: InterChoice | None = None) -> nn.Module:
    """With statistics and weights that differ everywhere, as after training."""
    torch.manual_seed(0)
    net = space.build(*given)
    if inter_choice is not None:
        inter_choice.attach(net, torch.zeros(2, given.in_channels, given.image_size, given.image_size))
    if isinstance(inter_choice, Split):
        split_weights(net)
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data.mul_(1 + 0.1 * torch.rand_like(tensor)).add_(0.01 * torch.randn_like(tensor))
    return net


def paths_of(space: SearchSpace) -> list[Path]:
    """The first, the last, and a few at random."""
    generator = torch.Generator().manual_seed(2)
    ends = [tuple(0 for _ in space.sizes), tuple(size - 1 for size in space.sizes)]
    return [*ends, *(space.sample(generator) for _ in range(3))]


@torch.no_grad()
def assert_equal_outputs(space: SearchSpace, given: Input, net: nn.Module, path: Path) -> None:
    images = images_of(given)
    alone = cut_out(space, net.train(), path, given)
    assert alone.training
    expected = net.eval()(images, path)
    assert expected.isfinite().all()
    assert torch.equal(alone.eval()(images), expected)
    assert alone.state_dict().keys() == space.build_path(path, *given).state_dict().keys()


@pytest.mark.parametrize("name", SPACES)
def test_outputs_equal_the_supernets(name: str) -> None:
    space, given = SPACES[name]
    net = supernet(space, given)
    for path in paths_of(space):
        assert_equal_outputs(space, given, net, path)


@pytest.mark.parametrize("name", ["mini", "nas_bench_201", "nas_bench_macro"])
def test_split_weights_are_those_of_the_choice_before(name: str) -> None:
    space, given = SPACES[name]
    net = supernet(space, given, Split())
    for path in paths_of(space):
        assert_equal_outputs(space, given, net, path)


def test_the_copies_of_a_split_are_told_apart() -> None:
    """Two paths with the same choice in layer 1 and another before it have other weights there."""
    space, given = SPACES["mini"]
    net = supernet(space, given, Split())
    layers = [cut_out(space, net, (before, 2, 0, 0, 0), given).state_dict() for before in (0, 1)]
    key = "1.1.body.0.0.weight"
    assert not torch.equal(layers[0][key], layers[1][key])


def test_in_channels_last_too() -> None:
    space, given = SPACES["nas_bench_macro"]
    net = supernet(space, given).to(memory_format=torch.channels_last)
    path = paths_of(space)[2]
    alone = cut_out(space, net, path, given).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        assert torch.equal(alone(images_of(given)), net.eval()(images_of(given), path))


def test_the_weights_are_copies() -> None:
    space, given = SPACES["mini"]
    net = supernet(space, given)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    alone = cut_out(space, net, (2, 2, 2, 2, 2), given).train()
    alone(images_of(given)).sum().backward()
    torch.optim.SGD(alone.parameters(), 1.0).step()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("inter_choice", [Bias(), Attention()])
def test_what_stand_alone_networks_have_no_place_for_is_refused(inter_choice: InterChoice) -> None:
    space, given = Mini(), Input(1, 10, 8)
    with pytest.raises(UsageError, match=r"inter-choice.*weights=scratch"):
        cut_out(space, supernet(space, given, inter_choice), (0, 0, 0, 0, 0), given)


def test_linear_transformers_are_refused_on_paths_that_have_one() -> None:
    space, given = NasBench201(cells=1, linear_transformer=True), Input(3, 10, 8)
    net = supernet(space, given)
    skip = space.ops.index("skip_connect")
    with pytest.raises(UsageError, match="linear_transformer"):
        cut_out(space, net, (skip,) * 6, given)
    assert_equal_outputs(space, given, net, (3,) * 6)
