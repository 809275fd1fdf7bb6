import pytest
import torch
from torch import nn

from src.search_spaces.nas_bench_201 import NasBench201
from src.supernet.cell_graph import NAS_BENCH_201
from src.supernet.cell_net import CellNet
from src.supernet.cells import Cell, FixedCell, Reduction, Zero
from src.supernet.choice import ChoiceBlock


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


FACTORS = (2.0, 3.0, 5.0, 7.0, 11.0, 13.0)
# Node 1 = 2, node 2 = 3 + 5 * 2, node 3 = 7 + 11 * 2 + 13 * 13.
EXPECTED = 7 + 11 * 2 + 13 * (3 + 5 * 2)


def test_the_graph_by_hand() -> None:
    assert NAS_BENCH_201.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert NAS_BENCH_201.run(torch.ones(1), [Times(f) for f in FACTORS]).item() == EXPECTED
    assert FixedCell(Times(f) for f in FACTORS)(torch.ones(1)).item() == EXPECTED


@pytest.mark.parametrize("weights", [False, True])
def test_a_route_has_an_entry_for_each_edge(weights: bool) -> None:
    cell = Cell(ChoiceBlock([Times(0.0), Times(f)]) for f in FACTORS)
    entry = torch.tensor([0.0, 1.0]) if weights else 1
    assert cell(torch.ones(1), (entry,) * 6).item() == EXPECTED
    assert cell(torch.ones(1), (0, 0, 0, entry, 0, 0)).item() == 7
    with pytest.raises(ValueError, match="zip"):
        cell(torch.ones(1), (0,) * 5)


def test_weights_mix_the_choices_of_an_edge() -> None:
    cell = Cell(ChoiceBlock([Zero(), Times(f)]) for f in FACTORS)
    route = (0, 0, 0, torch.tensor([0.5, 0.5]), 0, 0)
    assert cell(torch.ones(1), route).item() == 3.5


def test_all_cells_follow_one_route() -> None:
    cells = [Cell(ChoiceBlock([Times(0.0), Times(f)]) for f in FACTORS) for _ in range(2)]
    net = CellNet(nn.Identity(), [cells[0], Times(0.5), cells[1]], nn.Identity())
    assert net(torch.ones(1), (1,) * 6).item() == EXPECTED * 0.5 * EXPECTED
    assert net.op_modules((2, 1)) == [cell.edges[2].choices[1] for cell in cells]  # type: ignore[index]


def test_a_reduction_halves_the_size() -> None:
    block = Reduction(4, 8, affine=True, running_stats=True, bias=False)
    assert block(torch.zeros(2, 4, 8, 8)).shape == (2, 8, 4, 4)


def test_what_only_feeds_zeros_is_unreached() -> None:
    net = NasBench201(cells=1).build(3, 10, 8)
    path = (3, 3, 3, 0, 3, 0)  # nodes 1 and 2: 0->1 conv, 0->2 conv, 1->2 conv, 0->3 none, 1->3 conv, 2->3 none
    dead = net.unreached(path)
    expected = [block.choices[3] for edge, block in net.blocks() if edge in (1, 2)]
    assert sorted(map(id, dead)) == sorted(map(id, expected))
    net(torch.randn(4, 3, 8, 8), path).sum().backward()
    assert all(parameter.grad is None for module in dead for parameter in module.parameters())
    live = [block.choices[3] for edge, block in net.blocks() if edge in (0, 4)]
    assert all(parameter.grad is not None for module in live for parameter in module.parameters())
