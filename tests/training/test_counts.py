"""Shares of counts."""

from __future__ import annotations

import pytest

from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.training.counts import Counts


@pytest.mark.parametrize(
    ("space", "path", "share"),
    [
        (NasBench201(cells=1), (0, 1, 2, 3, 4, 3), 3 / 6),  # none, identity, two sizes of convolution, pooling
        (NasBench201(cells=1, share=6), (0, 1, 2, 3, 4, 4), 3 / 5),  # one pooling for both edges
        (Mini(), (0, 1, 2, 0, 1), 2 / 5),
        # only the first node, a pooling, leads to the output; projections of the input are nobody's choice
        (NasBench1Shot1(variant=1, cells=1), (0, 1, 2, 0, 2, 2, 0), 1),
    ],
)
def test_share_of_passes_through_operations_without_parameters(
    space: SearchSpace, path: tuple[int, ...], share: float
) -> None:
    net = space.build(3, 10, 8)
    counts = Counts(space.sizes, net.op_ids)
    assert counts.parameter_free_share(net) is None
    counts.add([path])
    counts.add_operations(net.operations(path))
    assert counts.parameter_free_share(net) == pytest.approx(share)
