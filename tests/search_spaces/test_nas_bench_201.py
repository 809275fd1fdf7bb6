import csv
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.summary import describe

INTER_CHOICE = {"cells": 2, "affine": False, "linear_transformer": True}
PLAIN_SKIP = {"cells": 2, "affine": False}
PA_DA = {"affine": False, "fixed_affine": False, "running_stats": False, "conv_bias": True}

# Inter-choice weights, table 3; cells 2 and 5 are the reductions.
TABLE_3 = [464, 16_896, 16_896, 14_464, 67_584, 67_584, 57_600, 270_336, 270_336, 778]


def supernet_params(**settings: object) -> dict[str, object]:
    space = NasBench201(**settings)  # type: ignore[arg-type]
    return describe(space, space.reference, []).supernet


def test_supernet_layer_by_layer() -> None:
    found = supernet_params(**INTER_CHOICE)
    assert [part["params"] for part in found["parts"]] == TABLE_3  # type: ignore[attr-defined]
    assert found["params"] == 782_938


@pytest.mark.parametrize("settings, params", [(INTER_CHOICE, 782_938), (PLAIN_SKIP, 718_426), (PA_DA, 1_692_474)])
def test_published_supernets(settings: dict[str, object], params: int) -> None:
    assert supernet_params(**settings)["params"] == params


def test_parameters_are_the_benchmarks(shared_data: Path) -> None:
    """15,421 rows agree to the printed digit; the other 204 hold numbers that no cell has."""
    space = NasBench201()
    with (shared_data / "nas_bench_201.csv").open() as file:
        table = {row["arch"]: float(row["params_m"]) for row in csv.DictReader(file)}
    assert len(table) == space.count == 15_625
    ours = {arch: round(space.costs(space.parse(arch)).params / 1e6, 3) for arch in table}
    differ = [arch for arch in table if table[arch] != ours[arch]]
    assert len(differ) == 204
    assert not {table[arch] for arch in differ} & set(ours.values())
    assert len(set(ours.values())) == 28  # one for each number of 1x1 and 3x3 convolutions


def test_arch_strings_are_the_tables(shared_data: Path) -> None:
    space = NasBench201()
    with (shared_data / "nas_bench_201.csv").open() as file:
        archs = Counter(row["arch"] for row in csv.DictReader(file))
    assert archs == Counter(space.format(path) for path in space.paths())


@pytest.mark.parametrize("subset, count", [("all", 15_625), ("no_none", 4_096), ("conv_only", 64)])
def test_subsets_count_their_own_choices(subset: str, count: int) -> None:
    space = NasBench201(subset=subset)
    assert space.count == count
    everything = NasBench201()
    for path in space.sample_distinct(30, torch.Generator().manual_seed(0)):
        same = everything.parse(space.format(path))
        assert everything.costs(same) == space.costs(path)
        assert everything.counts(same) == space.counts(path)


def test_live_convolutions_are_those_that_input_and_output_see() -> None:
    space = NasBench201()
    assert space.counts((3, 3, 3, 3, 3, 3)) == {"live_convolutions": 6}
    assert space.counts((3, 2, 3, 0, 0, 3)) == {"live_convolutions": 4}  # 0->3 and 1->3 are none
    assert space.counts((0, 3, 3, 3, 3, 3)) == {"live_convolutions": 3}  # no input reaches node 1: 1->2, 1->3 are dead
    assert space.counts((3, 3, 3, 1, 3, 0)) == {"live_convolutions": 2}  # node 2 leads nowhere
    assert space.counts((1, 4, 1, 0, 4, 1)) == {"live_convolutions": 0}


def test_published_best_cell() -> None:
    arch = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert NasBench201().parse(arch) == (3, 3, 3, 1, 3, 3)
    assert NasBench201().costs((3, 3, 3, 1, 3, 3)).params == 73_306 + 5 * 5 * (9 * 5376 + 2 * 112)


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("alone", [False, True])
def test_switches_reach_every_batch_norm(alone: bool) -> None:
    def build(**settings: object) -> nn.Module:
        space = NasBench201(cells=1, **settings)  # type: ignore[arg-type]
        return space.build_path((3,) * 6, 3, 10, 32) if alone else space.build(3, 10, 32)

    assert all(norm.affine and norm.track_running_stats for norm in norms(build()))
    bare = norms(build(affine=False, fixed_affine=False, running_stats=False))
    assert not any(norm.affine or norm.track_running_stats for norm in bare)
    assert sum(norm.affine for norm in norms(build(affine=False))) == 1 + 2 + 2 + 1


def test_running_statistics_are_not_needed() -> None:
    space = NasBench201(cells=1, running_stats=False)
    net = space.build(3, 10, 8).eval()
    assert net(torch.randn(4, 3, 8, 8), (2, 3, 4, 1, 0, 3)).isfinite().all()


@pytest.mark.parametrize("counted, corner", [(False, 1.0), (True, 4 / 9)])
def test_pool_padding(counted: bool, corner: float) -> None:
    pool = NasBench201(count_include_pad=counted).op(4, 16)
    assert pool(torch.ones(1, 1, 4, 4))[0, 0, 0, 0].item() == pytest.approx(corner)


def test_linear_transformers_are_of_the_supernet_alone() -> None:
    space, plain = NasBench201(linear_transformer=True), NasBench201()
    assert space.costs((1,) * 6) == plain.costs((1,) * 6)
    (skip, *_) = space.build(3, 10, 8).op_modules((0, 1))
    assert isinstance(skip, nn.Conv2d)
    assert skip.bias is None


def test_what_only_feeds_zeros_gets_no_gradient() -> None:
    net = NasBench201(cells=1).build(3, 10, 8)
    net(torch.randn(4, 3, 8, 8), (3, 0, 0, 2, 0, 0)).sum().backward()
    assert all(p.grad is None for module in net.op_modules((0, 3)) for p in module.parameters())
    assert all(p.grad is not None for module in net.op_modules((3, 2)) for p in module.parameters())


@pytest.mark.parametrize(
    "settings, line",
    [
        ({"subset": "convonly"}, "unknown search_space.subset 'convonly'.*did you mean conv_only"),
        ({"cells": 0}, "search_space.cells=0: give a whole number"),
        ({"cells": 2.5}, "search_space.cells=2.5"),
        ({"affine": "yes"}, "unknown value of search_space.affine 'yes': the options are true, false"),
        ({"count_include_pad": None}, "search_space.count_include_pad"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        NasBench201(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [4, 6, 30])
def test_sizes_that_cannot_be_halved_twice_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="give a multiple of 4, 8 or more"):
        NasBench201().check_input(InputSpec(3, 10, size))
