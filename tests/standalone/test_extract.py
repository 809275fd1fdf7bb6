"""A path cut out of a supernet is that path: its outputs under running statistics are equal, bit for bit."""

from __future__ import annotations

import pytest
import torch

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.standalone.extract import extract
from src.supernet.inter_choice import Attention, Bias, InterChoice, Split, split_weights
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from tests.search_spaces.examples import SPACES


def images_of(input_spec: InputSpec, count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, input_spec.in_channels, input_spec.image_size, input_spec.image_size, generator=generator)


def supernet(space: SearchSpace, input_spec: InputSpec, inter_choice: InterChoice | None = None) -> Supernet:
    """With statistics and weights that differ everywhere, as after training."""
    torch.manual_seed(0)
    net = space.build(*input_spec)
    if inter_choice is not None:
        inter_choice.attach(net, torch.zeros(2, input_spec.in_channels, input_spec.image_size, input_spec.image_size))
    if isinstance(inter_choice, Split):
        split_weights(net)
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data.mul_(1 + 0.1 * torch.rand_like(tensor)).add_(0.01 * torch.randn_like(tensor))
    return net


def paths_of(space: SearchSpace) -> list[ArchPath]:
    """The first, the last, and a few at random."""
    generator = torch.Generator().manual_seed(2)
    ends = [tuple(0 for _ in space.sizes), tuple(size - 1 for size in space.sizes)]
    return [*ends, *(space.sample(generator) for _ in range(3))]


@torch.no_grad()
def assert_equal_outputs(space: SearchSpace, input_spec: InputSpec, net: Supernet, path: ArchPath) -> None:
    images = images_of(input_spec)
    alone = extract(space, net.train(), path, input_spec)
    assert alone.training
    expected = net.eval()(images, path)
    assert expected.isfinite().all()
    assert torch.equal(alone.eval()(images), expected)
    assert alone.state_dict().keys() == space.build_path(path, *input_spec).state_dict().keys()


@pytest.mark.parametrize("name", SPACES)
def test_outputs_equal_the_supernets(name: str) -> None:
    space, input_spec = SPACES[name]
    net = supernet(space, input_spec)
    for path in paths_of(space):
        assert_equal_outputs(space, input_spec, net, path)


@pytest.mark.parametrize("name", ["mini", "nas_bench_201", "nas_bench_macro"])
def test_split_weights_are_those_of_the_choice_before(name: str) -> None:
    space, input_spec = SPACES[name]
    net = supernet(space, input_spec, Split())
    for path in paths_of(space):
        assert_equal_outputs(space, input_spec, net, path)


def test_the_copies_of_a_split_are_told_apart() -> None:
    """Two paths with the same choice in layer 1 and another before it have other weights there."""
    space, input_spec = SPACES["mini"]
    net = supernet(space, input_spec, Split())
    layers = [extract(space, net, (before, 2, 0, 0, 0), input_spec).state_dict() for before in (0, 1)]
    key = "1.1.body.0.0.weight"
    assert not torch.equal(layers[0][key], layers[1][key])


def test_in_channels_last_too() -> None:
    space, input_spec = SPACES["nas_bench_macro"]
    net = supernet(space, input_spec).to(memory_format=torch.channels_last)
    path = paths_of(space)[2]
    alone = extract(space, net, path, input_spec).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        assert torch.equal(alone(images_of(input_spec)), net.eval()(images_of(input_spec), path))


def test_the_weights_are_copies() -> None:
    space, input_spec = SPACES["mini"]
    net = supernet(space, input_spec)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    alone = extract(space, net, (2, 2, 2, 2, 2), input_spec).train()
    alone(images_of(input_spec)).sum().backward()
    torch.optim.SGD(alone.parameters(), 1.0).step()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("inter_choice", [Bias(), Attention()])
def test_what_stand_alone_networks_have_no_place_for_is_refused(inter_choice: InterChoice) -> None:
    space, input_spec = Mini(), InputSpec(1, 10, 8)
    with pytest.raises(UsageError, match=r"inter-choice.*weights=scratch"):
        extract(space, supernet(space, input_spec, inter_choice), (0, 0, 0, 0, 0), input_spec)


def test_linear_transformers_are_refused_on_paths_that_have_one() -> None:
    space, input_spec = NasBench201(cells=1, linear_transformer=True), InputSpec(3, 10, 8)
    net = supernet(space, input_spec)
    skip = space.ops.index("skip_connect")
    with pytest.raises(UsageError, match="linear_transformer"):
        extract(space, net, (skip,) * 6, input_spec)
    assert_equal_outputs(space, input_spec, net, (3,) * 6)
