import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.search_spaces.costs import Costs, CostTable, measure
from tests.search_spaces.examples import SPACES


def counted_macs(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of a real forward: for each output number, the inputs that it is a weighted sum of."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * math.prod(module.kernel_size) * inputs[0].shape[1] // module.groups
        elif isinstance(module, nn.Linear):
            total += output[0].numel() * inputs[0].shape[1]

    for module in net.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        net.eval()(torch.zeros(2, *shape))
    return total


@pytest.mark.parametrize("name", SPACES)
def test_tables_give_what_the_stand_alone_network_has(name: str) -> None:
    space, input_spec = SPACES[name]
    generator = torch.Generator().manual_seed(0)
    for path in {space.sample(generator) for _ in range(4)}:
        net = space.build_path(path, *input_spec)
        params = sum(p.numel() for p in net.parameters())
        macs = counted_macs(net, (input_spec.in_channels, input_spec.image_size, input_spec.image_size))
        assert space.costs(path, input_spec) == Costs(params, macs)


@pytest.mark.parametrize("name", SPACES)
def test_reference_input_is_the_default(name: str) -> None:
    space, _ = SPACES[name]
    path = (0,) * len(space.sizes)
    assert space.costs(path) == space.costs(path, space.reference)


def test_a_path_costs_the_sum_of_its_choices() -> None:
    table = CostTable(Costs(1, 2), ((Costs(10, 0), Costs(20, 5)), (Costs(100, 7), Costs(0, 0))))
    assert table((1, 0)) == Costs(121, 14)
    assert table((0, 1)) == Costs(11, 2)


def test_costs_add_and_multiply() -> None:
    assert Costs(1, 2).plus(Costs(3, 4)) == Costs(4, 6)
    assert Costs(1, 2).times(3) == Costs(3, 6)


@pytest.mark.parametrize(
    "module, shape, expected",
    [
        (lambda: nn.Conv2d(3, 8, 3, padding=1), (3, 5, 5), Costs(3 * 8 * 9 + 8, 3 * 8 * 9 * 25)),
        (lambda: nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False), (8, 5, 5), Costs(72, 72 * 9)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (3, 2, 2), Costs(65, 60)),
        (lambda: nn.BatchNorm2d(4), (4, 2, 2), Costs(8, 0)),
    ],
)
def test_measured_by_hand(module: Any, shape: tuple[int, ...], expected: Costs) -> None:
    assert measure(module, shape)[0] == expected


def test_measuring_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    measure(lambda: nn.Conv2d(3, 8, 3), (3, 9, 9))
    assert torch.equal(before, torch.get_rng_state())
