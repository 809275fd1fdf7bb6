"""Paths drawn by the networks that they are."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from src.runtime.errors import UsageError
from src.samplers.networks import Distinct, SizeProportional
from src.samplers.sampler import PlannedRun
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace


def prepared(kind: type[Distinct | SizeProportional], space: SearchSpace) -> Distinct | SizeProportional:
    sampler = kind(space.sizes, seed=1)
    sampler.prepare(space, space.build(*space.reference), PlannedRun(10, 1, space.reference))
    return sampler


def test_only_canonical_paths_are_trained_and_each_alike() -> None:
    with pytest.raises(UsageError, match="use sampler=spos"):
        prepared(Distinct, Mini())
    space = NasBench201(cells=1)
    sampler = prepared(Distinct, space)
    paths = [sampler.plan()[0].routes[0] for _ in range(800)]
    assert all(space.canonical(path) == path for path in paths)  # type: ignore[arg-type]
    # 4,930 networks: 800 draws give some 62 pairs, of 15,625 paths a fifth of that would be canonical
    pairs = sum(count * (count - 1) // 2 for count in Counter(paths).values())
    assert 30 < pairs < 110


def test_large_networks_are_drawn_in_proportion_to_their_size() -> None:
    space = Mini()
    sampler = prepared(SizeProportional, space)
    sizes = torch.tensor([float(space.costs(path).params) for path in space.paths()])
    drawn = Counter(sampler.plan()[0].routes[0] for _ in range(6000))
    for share, size in zip((0.0, 0.5), (sizes.quantile(0.5), sizes.max() + 1), strict=True):
        part = [
            path for path, own in zip(space.paths(), sizes.tolist(), strict=True) if sizes.quantile(share) <= own < size
        ]
        wanted = sum(float(space.costs(path).params) for path in part) / float(sizes.sum())
        assert sum(drawn[path] for path in part) / 6000 == pytest.approx(wanted, abs=0.03)


@pytest.mark.slow
def test_costs_that_are_no_sums_are_gone_through_or_refused() -> None:
    with pytest.raises(UsageError, match="use a space of 100,000 paths at most"):
        prepared(SizeProportional, NasBench1Shot1(variant=3))
    space = NasBench1Shot1(variant=1)
    sampler = prepared(SizeProportional, space)
    assert isinstance(sampler, SizeProportional)
    # 3x3 convolutions everywhere, as no path through fewer of them is larger
    convolutions = [path for path in space.paths() if set(path[:4]) == {1}]
    assert sampler.largest == max(space.costs(path).params for path in convolutions)
    with pytest.raises(UsageError, match="params, macs"):
        SizeProportional((3, 3), size="flops")
