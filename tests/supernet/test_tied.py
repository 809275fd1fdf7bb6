"""Operations that several blocks of a cell share: parameters, gradients, counts, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.supernet.cell_net import CellNet
from src.supernet.inter_choice import Split
from src.supernet.supernet import Supernet
from src.supernet.tied import are_tied
from src.training.counts import Counts
from src.training.gradients import parameters_of
from tests.training.short_training import assert_same, train

SPEC = InputSpec(3, 10, 8)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def small(share: int, **settings: bool) -> tuple[NasBench201, CellNet]:
    space = NasBench201(cells=1, share=share, **settings)  # type: ignore[arg-type]
    space.channels = (4, 4, 4)
    return space, space.build(*SPEC)


@pytest.mark.parametrize(("share", "golden"), [(1, 1_692_474), (2, 882_714), (3, 612_794), (6, 342_874)])
def test_parameters_with_the_switches_of_pada(share: int, golden: int) -> None:
    space = NasBench201(affine=False, fixed_affine=False, running_stats=False, conv_bias=True, share=share)
    assert parameters(space.build(3, 10, 32)) == golden


def test_tied_edges_share_convolutions_and_keep_norms_of_their_own() -> None:
    _, net = small(share=3)
    (cell, *_) = net.shared_cells
    modules = [block.operations(3)[0] for block in cell.blocks()]
    convolutions = [module[1] for module in modules]  # type: ignore[index]
    assert [conv is convolutions[0] for conv in convolutions] == [True] * 3 + [False] * 3
    assert [conv is convolutions[3] for conv in convolutions] == [False] * 3 + [True] * 3
    assert len({id(module[2]) for module in modules}) == 6  # type: ignore[index]
    assert are_tied(net) and not are_tied(small(share=1)[1])


def test_a_tied_operation_is_one_operation() -> None:
    space, net = small(share=2)
    path = (3, 3, 2, 3, 0, 1)
    assert net.operations(path) == [(0, 3), (2, 2), (2, 3), (4, 0), (4, 1)]
    counts = Counts(space.sizes, net.op_ids)
    counts.add_operations(net.operations(path))
    assert len(counts.operation_rows(1)) == 15
    # its parameters: a convolution and two norms in each of three cells, each once
    assert len(parameters_of(net, (0, 3))) == 3 * (1 + 2 * 2)
    # its gradient is the sum over both edges
    net.double().train()
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    apart = untied(net)
    for each in (net, apart):
        each(images, path).square().sum().backward()
    for tied, own in zip(net.shared_cells, apart.shared_cells, strict=True):
        blocks = (tied.blocks()[0], *own.blocks()[:2])
        conv, one, two = (block.choices[3][1] for block in blocks)  # type: ignore[index]
        torch.testing.assert_close(conv.weight.grad, one.weight.grad + two.weight.grad)


def untied(net: CellNet) -> CellNet:
    """The same net, each edge with a copy of what it shared."""
    apart = copy.deepcopy(net)
    for cell in apart.shared_cells:
        for block in cell.blocks():
            block.choices = copy.deepcopy(block.choices)
    return apart


def test_ways_agree_on_tied_operations() -> None:
    space, _ = small(share=6)
    serial, window = (train(space, SPEC, steps=6, way=way) for way in ("serial", "window"))
    assert_same(serial, window)


def test_a_path_taken_out_is_the_path() -> None:
    _, net = small(share=6)
    path, images = (3, 3, 2, 3, 1, 4), torch.randn(4, 3, 8, 8)
    net.eval()
    assert torch.equal(net.subnet(path)(images), net(images, path))


def test_nodes_of_1shot1_are_tied_and_projections_are_not() -> None:
    space, apart = (NasBench1Shot1(variant=1, cells=1, share=share) for share in (4, 1))
    net, other = space.build(*SPEC), apart.build(*SPEC)
    ops = net.op_ids
    assert ops is not None
    assert [op for op in ops if op[0] < 7] == [(0, 0), (0, 1), (0, 2)]
    assert len(other.op_ids or ()) - len(ops) == 9
    path = (1, 1, 2, 2, 0, 0, 9)
    assert set(net.operations(path)) < set(ops)
    # of the nodes' convolutions one copy in four is left: 1x1 and 3x3, at 16, 32 and 64 channels
    assert parameters(other) - parameters(net) == 3 * 10 * (16**2 + 32**2 + 64**2)
    modules = [id(module) for module in net.shared_cells[0].modules_of(path)]
    assert modules == [id(module) for module in dict.fromkeys(net.shared_cells[0].modules_of(path))]


@pytest.mark.parametrize("share", [0, 4, 5, 12, True, "2"])
def test_a_share_that_does_not_divide_the_edges_is_refused(share: int) -> None:
    with pytest.raises(UsageError, match="does not divide 6 edges of a cell: use 1, 2, 3, 6"):
        NasBench201(share=share)
    with pytest.raises(UsageError, match="does not divide 5 nodes of a cell: use 1, 5"):
        NasBench1Shot1(variant=3, share=2)


def test_copies_of_tied_operations_are_refused() -> None:
    net: Supernet = small(share=2)[1]
    with pytest.raises(UsageError, match=r"search_space\.share=1"):
        Split().attach(net, torch.zeros(2, 3, 8, 8))
