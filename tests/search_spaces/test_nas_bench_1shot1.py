"""NAS-Bench-1Shot1: the published sizes, NAS-Bench-101's hash and widths, and cells as paths of one supernet."""

from __future__ import annotations

import itertools
import math
from functools import cache, partial, reduce
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from src.analysis.ranking import kendall
from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.samplers.strict_fair import StrictFair
from src.search_spaces.cell_101 import Cell101, hash_of, vertex_channels
from src.search_spaces.cell_paths import LETTERS
from src.search_spaces.costs import measure
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.supernet.cell_net import CellNet
from src.supernet.node_cells import NodeCell
from src.supernet.path import ArchPath
from src.training.counts import Counts

SPACES = {variant: NasBench1Shot1(variant) for variant in (1, 2, 3)}
SMALL = {"cells": 1, "supernet_channels": 4, "channels": 8, "alone_cells": 1}
INPUT = InputSpec(3, 5, 8)


@cache
def table(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype={"matrix": str, "ops": str})


@pytest.fixture
def cells(shared_data: Path) -> pd.DataFrame:
    return table(shared_data / "nas_bench_101_subset.csv")


def sampled(space: NasBench1Shot1, count: int = 20) -> list[ArchPath]:
    return space.sample_distinct(count, torch.Generator().manual_seed(2))


# sizes


@pytest.mark.parametrize(
    ("variant", "paths", "params"), [(1, 14_580, 1_101_402), (2, 29_160, 1_101_402), (3, 1_312_200, 1_509_594)]
)
def test_golden_numbers_of_paths_and_parameters(variant: int, paths: int, params: int) -> None:
    assert SPACES[variant].count == paths
    with torch.device("meta"):
        net = SPACES[variant].build(3, 10, 32)
    assert sum(parameter.numel() for parameter in net.parameters()) == params


def test_golden_parameters_of_the_cells() -> None:
    with torch.device("meta"):
        net = SPACES[1].build(3, 10, 32)
    assert [sum(p.numel() for p in cell.parameters()) for cell in net.shared_cells] == [
        12_800, 18_944, 18_944, 58_368, 74_752, 74_752, 231_424, 296_960, 296_960,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "cells"), [(1, 2_685), (2, 7_773), pytest.param(3, 55_854, marks=pytest.mark.slow)]
)
def test_golden_numbers_of_distinct_cells(variant: int, cells: int) -> None:
    assert len(SPACES[variant].cell_paths.by_hash) == cells


def test_cells_of_variant_1_by_their_size() -> None:
    vertices = [SPACES[1].cell(path).vertices for path in SPACES[1].cell_paths.by_hash.values()]
    assert [vertices.count(n) for n in (3, 4, 5, 6)] == [3, 18, 180, 2484]


@pytest.mark.parametrize(("variant", "listed"), [(1, 1_944), (2, 2_916)])
def test_cells_without_loose_ends(variant: int, listed: int) -> None:
    space = SPACES[variant]
    paths = [path for path in space.paths() if space.is_listed(path)]
    assert len(paths) == listed
    # each is the only path to its cell
    assert len({space.cell(path) for path in paths}) == listed
    assert all(space.canonical(path) == path for path in paths[::7])


# cells


def test_hashes_are_those_of_nas_bench_101(cells: pd.DataFrame) -> None:
    assert all(
        hash_of(Cell101(ops, matrix)) == key
        for ops, matrix, key in zip(cells.ops, cells.matrix, cells.hash, strict=True)
    )


@pytest.mark.parametrize(
    ("variant", "joined", "strict", "tau"), [(1, 195, 137, 0.616), (2, 572, 212, 0.598), (3, 4_023, 1_042, 0.524)]
)
def test_the_table_joins_without_a_rest(
    variant: int, joined: int, strict: int, tau: float, cells: pd.DataFrame
) -> None:
    space = SPACES[variant]
    paths = [
        space.cell_paths.path_of(Cell101(ops, matrix)) for ops, matrix in zip(cells.ops, cells.matrix, strict=True)
    ]
    is_there = pd.Series([path is not None for path in paths])
    assert is_there.sum() == joined
    assert is_there.eq(cells[f"paths_s{variant}"] > 0).all()
    known = cells[is_there]
    own = [path for path in paths if path is not None]
    assert sum(map(space.is_listed, own)) == strict
    assert [space.is_listed(path) for path in own] == [str(variant) in text for text in known.strict]
    # NAS-Bench-101's own parameters; 128 channels cannot be divided by the three parents that variant 2 may have
    params = [space.costs(path).params for path in own]
    assert (known.params == params).all() if variant != 2 else (known.params == params).mean() > 0.89
    assert kendall(known.params, known.val108).value == pytest.approx(tau, abs=5e-4)


def test_the_ceilings_floor(cells: pd.DataFrame) -> None:
    taus = [kendall(known.val36, known.val108).value for known in (cells[cells[f"paths_s{v}"] > 0] for v in (1, 2, 3))]
    assert taus == pytest.approx([0.756, 0.725, 0.712], abs=5e-4)


def test_the_canonical_path_is_the_first_of_its_hash() -> None:
    space = SPACES[1]
    for path in sampled(space, 400):
        assert space.canonical(path) == space.cell_paths.by_hash[hash_of(space.cell(path))] <= path
    assert all(space.canonical(path) == path for path in space.cell_paths.by_hash.values())


def test_the_number_of_paths_to_each_cell(cells: pd.DataFrame) -> None:
    space = SPACES[1]
    counts = pd.Series([hash_of(space.cell(path)) for path in space.paths()]).value_counts()
    assert counts.max() == 486
    known = cells[cells.paths_s1 > 0]
    assert (counts[known.hash].to_numpy() == known.paths_s1).all()


@pytest.mark.parametrize("variant", SPACES)
def test_text_names_a_path(variant: int) -> None:
    space = SPACES[variant]
    for path in sampled(space):
        assert space.parse(space.format(path)) == path
        first = space.canonical(path)
        assert space.parse(space.benchmark_name(path)) == space.parse(str(space.cell(path))) == first
        assert space.format(first).startswith("nb101:")
    if variant == 1:
        assert space.parse(hash_of(space.cell(path))) == first


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nb101:33", "nb101:<operations>:<matrix>"),
        ("nb101:3x:110101", "nb101:<operations>:<matrix>"),
        ("nb101:3:11", "nb101:<operations>:<matrix>"),
        ("nb101:33:100001", "without an edge"),
        ("nb101:3:011", "without an edge"),
        ("nb101:33333:111111111111111111111", "variant=1"),
        ("0" * 32, "variant=1"),
        ("0-0-0-0-3-0-0", "offers 0 to 2"),
        ("0-0-0-0-0-0-10", "offers 0 to 9"),
        ("0-0-0-0", "7 layers"),
    ],
)
def test_what_is_no_cell_is_refused(text: str, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        SPACES[1].parse(text)


@pytest.mark.parametrize("options", [{"variant": 4}, {"variant": "1"}, {"cells": 0}, {"channels": 1.5}], ids=str)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"search_space.{next(iter(options))}"):
        NasBench1Shot1(**options)  # type: ignore[arg-type]


# networks


def test_widths_by_hand() -> None:
    # both inner vertices lead to the output, and share an odd number; the third is as wide as what it leads to
    cell = Cell101.of_edges("313", {(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 4)})
    assert vertex_channels(cell, 8, 9) == [8, 5, 5, 4, 9]


@pytest.mark.parametrize("variant", SPACES)
def test_costs_in_closed_form_are_those_of_the_network(variant: int) -> None:
    space = NasBench1Shot1(variant, **SMALL)
    for path in sampled(space, 6):
        assert space.costs(path, INPUT) == measure(partial(space.build_path, path, *INPUT), (3, 8, 8))[0]


def plain_forward(space: NasBench1Shot1, net: CellNet, images: Tensor, path: ArchPath) -> Tensor:
    """The supernet as its authors run it: everything, times 0 or 1."""
    n, decided = space.graph.nodes, iter(path[space.graph.nodes :])
    parents = [sets[next(decided) if len(sets) > 1 else 0] for sets in space.graph.options]
    x = net.stem(images)
    for cell in net.cells:
        if not isinstance(cell, NodeCell):
            x = cell(x)
            continue
        values = [torch.zeros(())]
        for node in range(1, n + 1):
            terms = [cell.projections[node - 1](x) * (0 in parents[node - 1])]
            terms += [values[p] * (p in parents[node - 1]) for p in range(1, node)]
            values.append(cell.blocks()[node - 1].choices[path[node - 1]](reduce(torch.add, terms)))
        joined = torch.cat([values[node] * (node in parents[n]) for node in range(1, n + 1)], 1)
        x = joined + cell.projections[n](x) * (0 in parents[n])
    logits: Tensor = net.tail(x)
    return logits


@pytest.mark.parametrize("variant", SPACES)
@torch.no_grad()
def test_a_path_runs_what_leads_to_the_output(variant: int) -> None:
    space = NasBench1Shot1(variant, **SMALL)
    torch.manual_seed(0)
    net = space.build(*INPUT).double().eval()
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    for path in sampled(space):
        torch.testing.assert_close(net(images, path), plain_forward(space, net, images, path))
        # weights of one choice are the choice
        route = tuple(torch.eye(size).double()[choice] for size, choice in zip(space.sizes, path, strict=True))
        assert torch.equal(net(images, route), net(images, path))
    mixed = tuple(torch.full((size,), 1 / size).double() for size in space.sizes)
    assert net(images, mixed).isfinite().all()


def test_what_leads_nowhere_is_not_run() -> None:
    space = NasBench1Shot1(1, **SMALL)
    net = space.build(*INPUT).train()
    # node 3 on {0, 1}, node 4 on {0, 1}, the output on {0, 1}: nodes 2, 3 and 4 lead nowhere
    path = (1, 2, 2, 2, 0, 0, 0)
    assert space.cell(path) == Cell101.of_edges("3", {(0, 1), (1, 2), (0, 2)})
    assert net.operations(path) == [(0, 1), (7, 0), (11, 0)]
    net(torch.randn(4, 3, 8, 8), path).sum().backward()
    ran = {id(p) for op in net.operations(path) for module in net.op_modules(op) for p in module.parameters()}
    for cell in net.shared_cells:
        for name, parameter in cell.named_parameters():
            assert (parameter.grad is not None) == (id(parameter) in ran), name
        for name, buffer in cell.named_buffers():
            if "num_batches" in name and "projections.0" not in name and "projections.4" not in name:
                assert int(buffer) == int("nodes.0.choices.1" in name), name


@pytest.mark.parametrize("variant", SPACES)
def test_every_parameter_is_of_one_operation(variant: int) -> None:
    space = NasBench1Shot1(variant, **SMALL)
    net = space.build(*INPUT)
    assert net.op_ids is not None
    of_ops = [id(p) for op in net.op_ids for module in net.op_modules(op) for p in module.parameters()]
    assert len(of_ops) == len(set(of_ops)) == sum(len(list(cell.parameters())) for cell in net.shared_cells)
    for path in sampled(space):
        assert set(net.operations(path)) <= set(net.op_ids)


def test_a_fair_deck_is_even_after_30_paths_and_operations_are_counted_as_they_run() -> None:
    space = NasBench1Shot1(1, **SMALL)
    net, sampler = space.build(*INPUT), StrictFair(space.sizes, seed=3)
    assert math.lcm(*space.sizes) == 30
    assert sampler.passes_per_step == 10
    counts = Counts(space.sizes, net.op_ids)
    for step in range(1, 13):
        (update,) = sampler.plan()
        counts.add(update.routes)
        for route in update.routes:
            counts.add_operations(net.operations(route))
        assert counts.spread() <= 1
        assert (counts.spread() == 0) == (step % 3 == 0)
    assert counts.operations is not None
    # all choices were dealt 40 times, but nodes that led nowhere were not run
    assert all(count <= 40 for (number, _), count in counts.operations.items() if number < 4)
    assert sum(counts.operations[3, choice] for choice in range(3)) < 120
    restored = Counts(space.sizes, net.op_ids)
    restored.load_state_dict(counts.state_dict())
    assert restored.operations == counts.operations
    assert restored.operation_rows(12)[0] == {"step": 12, "layer": 0, "choice": 0, "count": counts.operations[0, 0]}


def test_options_of_a_decision_have_names() -> None:
    space = SPACES[1]
    assert space.op_names(0) == ["maxpool3x3", "conv3x3-bn-relu", "conv1x1-bn-relu"]
    assert space.op_names(4) == ["0+1", "0+2", "1+2"]
    assert [len(space.op_names(i)) for i in range(len(space.sizes))] == list(space.sizes)


def test_counts_leave_out_what_leads_nowhere() -> None:
    conv = LETTERS.index("3")
    assert SPACES[1].counts((conv, conv, conv, conv, 0, 0, 0)) == {"conv_3x3": 1, "convolutions": 1}


def test_no_path_can_be_taken_out_of_the_supernet() -> None:
    net = NasBench1Shot1(1, **SMALL).build(*INPUT)
    with pytest.raises(UsageError, match="weights=scratch"):
        net.subnet((0,) * 7)


def test_subsets() -> None:
    space = SPACES[1]
    alias = next(path for path in space.paths() if space.canonical(path) != path)
    chain = next(path for path in space.paths() if space.is_listed(path))
    subsets = space.subsets([alias, space.canonical(alias), chain])
    assert subsets["distinct cells"] == [False, True, True]
    assert subsets["without loose ends"] == [False, False, True]
    assert list(itertools.chain(subsets)) == ["distinct cells", "without loose ends"]
