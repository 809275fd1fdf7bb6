"""Widths and depths: costs of published networks, and slices and masks that are the cut network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.digits import Digits
from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.costs import measure
from src.search_spaces.expanded import Expanded, ExpandedMini
from src.standalone.extract import extract
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.supernet.frozen import element_state, frozen_outside
from src.supernet.masked_net import MaskedSupernet
from src.supernet.path import ArchPath, Route
from src.supernet.sliced import SlicedConv, SlicedNorm, prefix_mask

DIGITS = InputSpec(1, 10, 8)
PATHS: list[ArchPath] = [(0, 0, 0, 0, 0, 0), (1, 7, 0, 30, 3, 4), (3, 31, 3, 31, 3, 31), (2, 4, 1, 15, 0, 8)]

GOLDEN = [  # rule he, 10 and 100 classes: parameters, multiply-adds
    ("1x1-1x1-1x1", 709, 621_514, 889, 621_604),
    ("1x16-1x16-1x16", 15_226, 6_717_600, 16_756, 6_719_040),
    ("3x16-3x32-3x64", 272_474, 40_813_184, 278_324, 40_818_944),
    ("9x16-9x32-9x64", 855_770, 125_747_840, 861_620, 125_753_600),
    ("16x16-16x16-16x16", 225_466, 99_614_880, 226_996, 99_616_320),
    ("4x64-8x128-4x256", 7_031_642, 1_147_587_072, 7_054_772, 1_147_610_112),
    ("8x128-8x128-8x128", 6_998_490, 3_046_556_928, 7_010_100, 3_046_568_448),
    ("1x512-1x512-1x512", 12_417_498, 4_094_088_192, 12_463_668, 4_094_134_272),
    ("16x512-16x512-16x512", 224_846_298, 99_220_902_912, 224_892_468, 99_220_948_992),
]
MINI = [  # rule always
    ("1x1-1x1-1x1", 253, 10_694),
    ("1x8-1x8-1x8", 3_970, 106_832),
    ("2x16-2x16-2x16", 27_874, 718_496),
    ("4x32-4x32-4x32", 218_722, 5_792_576),
]


@pytest.mark.parametrize(("arch", "params", "macs", "params_100", "macs_100"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_golden_costs(arch: str, params: int, macs: int, params_100: int, macs_100: int) -> None:
    space = Expanded(shortcut="he")
    path = space.parse(arch)
    assert space.format(path) == arch
    assert space.costs(path) == (params, macs)
    assert space.costs(path, InputSpec(3, 100, 32)) == (params_100, macs_100)
    # a projection where the width is the stem's costs 288 parameters and 262,144 multiply-adds
    extra = (288, 262_144) if arch.split("-")[0].endswith("x16") else (0, 0)
    assert Expanded().costs(path) == (params + extra[0], macs + extra[1])


@pytest.mark.parametrize(("arch", "params", "macs"), MINI)
def test_golden_costs_of_the_small_space(arch: str, params: int, macs: int) -> None:
    space = ExpandedMini()
    assert space.costs(space.parse(arch)) == (params, macs)


def test_sizes() -> None:
    assert Expanded().count == 8192**3 == 549_755_813_888
    assert Expanded().sizes == (16, 512) * 3
    assert ExpandedMini().count == 2_097_152


@pytest.mark.parametrize("shortcut", ["always", "he"])
@pytest.mark.parametrize("path", [*PATHS, (1, 7, 0, 7, 1, 7)])
def test_costs_are_those_of_the_network(path: ArchPath, shortcut: str) -> None:
    space = ExpandedMini(shortcut=shortcut)
    alone = space.build_path(path, *DIGITS)
    assert space.costs(path).params == sum(p.numel() for p in alone.parameters())
    assert space.costs(path) == measure(lambda: space.build_path(path, *DIGITS), (1, 8, 8))[0]


def test_the_supernet_is_its_largest_network() -> None:
    net = ExpandedMini().build(*DIGITS)
    assert sum(p.numel() for p in net.parameters()) == 218_722
    with torch.device("meta"):
        assert sum(p.numel() for p in Expanded().build(3, 10, 32).parameters()) == 224_846_298


def made(dtype: torch.dtype = torch.float64, **keys: Any) -> tuple[ExpandedMini, MaskedSupernet, Tensor]:
    """Space, supernet with statistics that differ by channel, images."""
    torch.manual_seed(0)
    space = ExpandedMini(**keys)
    net = space.build(*DIGITS).to(dtype)
    for name, buffer in net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    for name, parameter in net.named_parameters():
        if "norm" in name or "shortcut.1" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return space, net, torch.randn(6, 1, 8, 8, dtype=dtype)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "keys", [{}, {"shortcut": "he"}, pytest.param({"last_relu": "before"}, marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("path", [*PATHS, (1, 7, 0, 7, 1, 7)])
def test_slices_are_the_cut_network_bit_for_bit(
    path: ArchPath, keys: dict[str, str], training: bool, memory_format: torch.memory_format
) -> None:
    space, net, images = made(torch.float32, **keys)
    net.to(memory_format=memory_format).train(training)
    alone = extract(space, net, path, DIGITS).to(memory_format=memory_format)
    assert alone.training == training
    assert torch.equal(net(images, path), alone(images))
    # and so are the statistics that a training step moves
    assert all(torch.equal(mine, net.path_state(path)[name]) for name, mine in alone.state_dict().items())


def one_hot(path: ArchPath, space: ExpandedMini) -> Route:
    return tuple(F.one_hot(torch.tensor(c), m).double() for c, m in zip(path, space.sizes, strict=True))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("path", PATHS)
def test_weights_of_one_choice_are_that_choice(path: ArchPath, training: bool) -> None:
    space, net, images = made()
    net.train(training)
    torch.testing.assert_close(net(images, one_hot(path, space)), net(images, path), rtol=0, atol=1e-10)


def test_twenty_random_networks_are_their_slices() -> None:
    space, net, images = made(torch.float32)
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        path = space.sample(generator)
        alone = extract(space, net, path, DIGITS)
        assert torch.equal(net(images, path), alone(images)), space.format(path)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_mixture_of_widths_is_the_sum_of_the_padded_outputs(training: bool) -> None:
    """sum over k of g_k PAD(b_k(x)), for a convolution and its batch norm: a mask after it, and none before."""
    torch.manual_seed(0)
    conv, norm = SlicedConv(3, 8, 3, 1, 1, bias=False).double(), SlicedNorm(8).double().train(training)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    x, weights = torch.randn(4, 3, 6, 6, dtype=torch.float64), torch.rand(8, dtype=torch.float64)
    weights /= weights.sum()
    wanted = sum(
        weight * F.pad(norm(conv(x, width)), (0, 0, 0, 0, 0, 8 - width)) for width, weight in enumerate(weights, 1)
    )
    torch.testing.assert_close(norm(conv(x, 8)) * prefix_mask(weights, 1)[:, None, None], wanted)


def test_masks_of_widths() -> None:
    assert prefix_mask(torch.tensor([0.0, 0.0, 1.0, 0.0]), 1).tolist() == [1, 1, 1, 0]
    assert prefix_mask(torch.tensor([0.5, 0.25, 0.25]), 3).tolist() == [1, 1, 1, 0.5, 0.25]


@pytest.mark.parametrize("path", PATHS)
def test_gradients_are_those_of_the_cut_network_and_0_outside_of_it(path: ArchPath) -> None:
    space, net, images = made()
    alone = space.build_path(path, *DIGITS).double()
    alone.load_state_dict(net.path_state(path))
    net(images, path).square().sum().backward()
    alone(images).square().sum().backward()
    parts = net.slices(path)
    for parameter in net.parameters():
        if parameter in parts:
            assert parameter.grad is not None
            outside = parameter.grad.clone()
            outside[parts[parameter]] = 0
            assert not outside.any()
    inside = [parameter.grad[part] for parameter, part in parts.items() if parameter.grad is not None]
    cut = {name: value for name, value in alone.named_parameters() if value.dim() > 1 and not name.startswith("0.")}
    sums = sorted(float(gradient.detach().abs().sum()) for gradient in inside if gradient.dim() > 1)
    wanted = sorted(float(value.grad.abs().sum()) for value in cut.values() if value.grad is not None)
    assert sums == pytest.approx(wanted, rel=1e-9)


def test_a_step_moves_the_statistics_of_the_first_channels_alone() -> None:
    space, net, images = made()
    path = space.parse("2x8-1x16-3x4")
    before = {name: value.clone() for name, value in net.named_buffers()}
    net.train()(images, path)
    kinds = ("running_mean", "running_var")
    moved = {name: (value != before[name]) for name, value in net.named_buffers() if name.endswith(kinds)}
    widths = (8, 16, 4)
    for name, changed in moved.items():
        if name.startswith("stages"):
            _, stage, _, block, *_ = name.split(".")
            runs = int(block) < (2, 1, 3)[int(stage)]
            assert changed[: widths[int(stage)]].all() == runs, name
            assert not changed[widths[int(stage)] :].any(), name


def test_deeper_blocks_do_not_change_a_shallow_network() -> None:
    space, net, images = made(torch.float32)
    shallow = space.parse("1x8-2x16-1x32")
    before = net.eval()(images, shallow)
    for stage, depth in zip(net.all_stages(), (1, 2, 1), strict=True):
        for block in stage.blocks[depth:]:
            for parameter in block.parameters():
                nn.init.normal_(parameter)
    assert torch.equal(net(images, shallow), before)


def test_weights_of_depths_mix_the_outputs_of_the_blocks() -> None:
    _, net, images = made()
    net.eval()
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    stage = net.all_stages()[0]
    x = net.stem(images)
    mixed = stage(x, shares, 15)
    expected = sum(share * stage(x, depth, 15) for depth, share in enumerate(shares))
    torch.testing.assert_close(mixed, expected, rtol=1e-12, atol=1e-12)


def test_a_mask_passes_its_gradient_on() -> None:
    """Before a batch norm it would be normalised away: some 1e-6 of this."""
    space, net, images = made()
    net.train()
    logits = [torch.zeros(m, dtype=torch.float64, requires_grad=True) for m in space.sizes]
    F.cross_entropy(net(images, tuple(each.softmax(0) for each in logits)), torch.arange(6)).backward()
    assert all(each.grad is not None and each.grad.abs().max() > 1e-4 for each in logits)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: ExpandedMini(shortcut="never"), "always, he"),
        (lambda: ExpandedMini(last_relu="both"), "after, before"),
        (lambda: ExpandedMini(width=0), "width"),
        (lambda: ExpandedMini().parse("5x1-1x1-1x1"), "1 to 4"),
        (lambda: ExpandedMini().parse("1x1-1x1-1x33"), "1 to 32"),
        (lambda: ExpandedMini().parse("1x1-1x1"), "path"),
        (lambda: ExpandedMini(strides=(2, 2, 2)).check_input(DIGITS), "strides"),
    ],
)
def test_bad_input_names_the_options(make: object, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_slices_that_no_route_ran_stay_as_they_are(make: type[torch.optim.Optimizer], momentum: float) -> None:
    _, net, images = made()
    keys: dict[str, Any] = {"momentum": momentum} if make is torch.optim.SGD else {}
    optimizer = make(net.parameters(), lr=0.1, weight_decay=0.1, **keys)  # type: ignore[call-arg]
    wide, narrow, mixed = (3, 31, 3, 31, 3, 31), (0, 3, 1, 15, 0, 7), ((0, 3, 1, 15, 0, 7), (1, 9, 0, 2, 0, 2))
    for number, routes in enumerate(((wide,), (narrow,), mixed, (wide,), (narrow,))):
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        state = {p: {k: v.clone() for k, v in element_state(optimizer, p).items()} for p in net.parameters()}
        optimizer.zero_grad(set_to_none=True)
        torch.stack([net.train()(images, route).square().sum() for route in routes]).sum().backward()
        parts = net.parts_of(routes)
        with frozen_outside(parts, optimizer):
            optimizer.step()
        for name, parameter in net.named_parameters():
            outside = torch.ones_like(parameter, dtype=torch.bool)
            for part in parts.get(parameter, [()]) if parameter.grad is not None else ():
                outside[part] = False
            assert torch.equal(parameter[outside], before[name][outside]), name
            assert (parameter != before[name]).any() == (parameter.grad is not None), name
            for key, values in element_state(optimizer, parameter).items():
                kept = state[parameter].get(key, torch.zeros_like(values))
                assert torch.equal(values[outside], kept[outside]), (number, name, key)


@pytest.mark.parametrize("shortcut", ["always", "he"])
def test_beyond_the_largest_width_of_a_mixture_everything_stays_as_it_is(shortcut: str) -> None:
    """Weights of two widths and two depths in each stage: neither decay nor momentum moves what is larger."""
    space = ExpandedMini(shortcut=shortcut)
    net = space.build(1, 10, 8).double().train()
    images = torch.rand(6, 1, 8, 8, dtype=torch.float64)
    route = []
    for size, choices in zip(space.sizes, ((0, 2), (4, 7), (1, 2), (3, 9), (0, 1), (0, 20)), strict=True):
        entry = torch.zeros(size, dtype=torch.float64)
        entry[list(choices)] = torch.tensor([0.3, 0.7], dtype=torch.float64)
        route.append(entry)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for everything in (True, False):
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        momenta = {p: {k: v.clone() for k, v in element_state(optimizer, p).items()} for p in net.parameters()}
        optimizer.zero_grad(set_to_none=True)
        # momentum everywhere first
        used = tuple(size - 1 for size in space.sizes) if everything else tuple(route)
        net(images, used).square().sum().backward()
        with frozen_outside(net.parts_of([used]), optimizer):
            optimizer.step()
    for name, parameter in net.named_parameters():
        if name.startswith(("stages.0.blocks.3", "stages.2.blocks.2")):
            assert torch.equal(parameter, before[name]), name
            for key, values in element_state(optimizer, parameter).items():
                assert torch.equal(values, momenta[parameter][key]), name
    name = "stages.2.blocks.0.conv1.weight"
    moved = net.get_parameter(name) != before[name]
    assert moved[:21, :10].all() and not moved[21:].any() and not moved[:, 10:].any()
    # mixtures project, also where the largest network under he: 8 channels of the stem, 8 of the first stage
    assert (
        net.get_parameter("stages.0.blocks.0.shortcut.0.weight") != before["stages.0.blocks.0.shortcut.0.weight"]
    ).any()


def test_paths_are_scored_as_one_at_a_time() -> None:
    """Shared stages and calibrated statistics of the first channels."""
    _, net, _ = made(torch.float32)
    paths = [*PATHS, (1, 7, 0, 30, 3, 5), (1, 7, 0, 3, 0, 0)]
    for protocol in ("recalibrate", "running", "batch", "adapt"):
        together, alone = (
            Evaluator(net, Digits(), torch.device("cpu"), protocol, ScoringSettings(60, 40, 30)) for _ in range(2)
        )
        scores = dict(together.scores(paths))
        assert scores == {path: alone.score(path) for path in paths}
        assert together.block_evaluations == 4 + 5 + 6  # one, two and three stages of six paths, less shared ones


RANGES = ["1-2", "9-16", "3", "1-8", "2-4", "17-32"]


def test_a_sub_space_offers_its_ranges_alone() -> None:
    space, whole = ExpandedMini(ranges=RANGES), ExpandedMini()
    assert space.sizes == (2, 8, 1, 8, 3, 16)
    path = space.parse("2x9-3x8-4x17")
    assert path == (1, 0, 0, 7, 2, 0)
    assert space.format(path) == "2x9-3x8-4x17"
    assert space.costs(path) == whole.costs(whole.parse("2x9-3x8-4x17"))
    generator = torch.Generator().manual_seed(0)
    drawn = [space.stages(space.sample(generator)) for _ in range(200)]
    for stage, (depths, widths) in enumerate(zip(space.depths, space.widths, strict=True)):
        assert {each[stage][0] for each in drawn} == set(depths)
        assert {each[stage][1] for each in drawn} == set(widths)
    with pytest.raises(UsageError, match="9 to 16"):
        space.parse("2x8-3x8-4x17")


def test_the_supernet_of_a_sub_space_is_its_largest_network() -> None:
    space = ExpandedMini(ranges=RANGES)
    net = space.build(*DIGITS).double()
    largest = tuple(size - 1 for size in space.sizes)
    assert sum(p.numel() for p in net.parameters()) == space.costs(largest).params
    images = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    for path in (largest, (0, 0, 0, 0, 0, 0), (1, 3, 0, 5, 1, 8)):
        alone = space.build_path(path, *DIGITS).double()
        alone.load_state_dict(net.path_state(path))
        assert torch.equal(net(images, path), alone(images))
        soft = tuple(F.one_hot(torch.tensor(c), m).double() for c, m in zip(path, space.sizes, strict=True))
        torch.testing.assert_close(net(images, soft), net(images, path), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "ranges", [RANGES[:5], [*RANGES[:5], "17-33"], [*RANGES[:5], "5-4"], ["0-2", *RANGES[1:]], ["x", *RANGES[1:]]]
)
def test_ranges_out_of_bounds_are_refused(ranges: list[str]) -> None:
    with pytest.raises(UsageError, match=r"search_space\.ranges"):
        ExpandedMini(ranges=ranges)
