"""step=window makes the update that step=serial makes: gradients, batch-norm statistics and weights after 20 steps."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from src.datasets.input_spec import InputSpec
from src.samplers.one_shot import OneShot
from src.samplers.sampler import Sampler
from src.samplers.uniform import Uniform
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import MobileNetA, MobileNetB, Proxyless
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import BatchNorm
from tests.search_spaces.diamond import Diamond
from tests.search_spaces.examples import ShortB, ShortProxyless
from tests.training.short_training import assert_same, images, make_net, train

NARROW = (8, 8, 8, 8, 8, 8)
KEPT = (1, 1, 1, 1, 1, 1)

SPACES: dict[str, tuple[SearchSpace, InputSpec]] = {
    "mini": (Mini(), InputSpec(1, 10, 8)),
    "mobilenet_b, short": (ShortB(NARROW, 2, (2, 1, 1, 1, 1, 1)), InputSpec(3, 5, 8)),
    "proxyless, short, irregular": (ShortProxyless((8, 8, 12, 8, 12, 8), 2, KEPT), InputSpec(3, 5, 4)),
    "nas_bench_macro": (NasBenchMacro(channels=(8, 8, 16), strides=(1, 1, 2)), InputSpec(3, 5, 8)),
    "a graph of its own": (Diamond(), InputSpec(1, 10, 8)),
    "nas_bench_1shot1": (NasBench1Shot1(1, cells=1, supernet_channels=4), InputSpec(3, 5, 8)),
    "nas_bench_201": (NasBench201(cells=1), InputSpec(3, 5, 8)),
    "nas_bench_201 of PA&DA": (
        NasBench201("conv_only", 1, affine=False, fixed_affine=False, running_stats=False, conv_bias=True),
        InputSpec(3, 5, 8),
    ),
}
LARGE: dict[str, tuple[SearchSpace, InputSpec]] = {
    "mobilenet_a": (MobileNetA(NARROW, 2, KEPT), InputSpec(3, 5, 8)),
    "mobilenet_b": (MobileNetB(NARROW, 2, (2, 1, 1, 1, 1, 1)), InputSpec(3, 5, 8)),
    "proxyless, irregular": (Proxyless(NARROW, 2, KEPT), InputSpec(3, 5, 4)),
    "nas_bench_201 N=2, linear transformer": (NasBench201("no_none", 2, linear_transformer=True), InputSpec(3, 5, 8)),
}
FEW, MANY = 4, 20
"""Steps: what a gradient leaves out shows after few; MANY is what the documentation promises, in the slow tests."""


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        *itertools.product(SPACES, [FEW]),
        ("mini", MANY),
        *(
            pytest.param(name, MANY, marks=pytest.mark.slow)
            for name in [*SPACES, *LARGE]
            if name != "mini" and "short" not in name
        ),
    ],
)
def test_the_window_is_the_serial_step_on_every_space(name: str, steps: int) -> None:
    space, input_spec = (SPACES | LARGE)[name]
    assert_same(
        train(space, input_spec, steps=steps, way="serial"), train(space, input_spec, steps=steps, way="window")
    )


@pytest.mark.parametrize(
    ("name", "method", "steps"),
    [
        *itertools.product(["mini", "nas_bench_201"], ["bias", "bias_2", "shared_bias", "attention", "split"], [FEW]),
        *itertools.product(["nas_bench_macro"], ["bias", "attention", "split"], [FEW]),
        *itertools.product(["nas_bench_1shot1"], ["bias_2", "split"], [FEW]),
        *(
            pytest.param(name, method, MANY, marks=pytest.mark.slow)
            for name in ("mini", "nas_bench_201", "nas_bench_macro", *LARGE)
            for method in ("bias", "bias_2", "shared_bias", "attention", "split")
        ),
    ],
)
def test_the_window_is_the_serial_step_with_inter_choice_weights(name: str, method: str, steps: int) -> None:
    space, input_spec = (SPACES | LARGE)[name]
    # Through the gates of 16 or 19 layers rounding grows some 200 times a step, whatever way is taken.
    if method == "attention" and name in ("mobilenet_a", "mobilenet_b", "proxyless, irregular"):
        steps = 2
    serial = train(space, input_spec, method, steps, way="serial")
    assert_same(serial, train(space, input_spec, method, steps, way="window"))


@pytest.mark.parametrize(
    "settings",
    [{"reduction": "mean"}, {"unsampled": "drifting"}, {"clip_norm": 0.5}, {"label_smoothing": 0.1}],
    ids=str,
)
def test_the_settings_of_a_step_hold_in_the_window(settings: dict[str, Any]) -> None:
    space, input_spec = SPACES["mini"]
    serial = train(space, input_spec, steps=FEW, way="serial", **settings)
    assert_same(serial, train(space, input_spec, steps=FEW, way="window", **settings))


@pytest.mark.parametrize(
    "sampler", [Uniform, lambda sizes: Uniform(sizes, updates=3), OneShot], ids=["spos", "ef", "one"]
)
def test_an_update_of_one_route_is_the_same_in_both(sampler: type[Sampler]) -> None:
    space, input_spec = SPACES["mini"]
    serial = train(space, input_spec, sampler=sampler(space.sizes), way="serial", steps=5)
    assert_same(serial, train(space, input_spec, sampler=sampler(space.sizes), way="window", steps=5), 0, 0)


def test_clipping_each_path_goes_path_by_path_in_every_way() -> None:
    space, input_spec = SPACES["mini"]
    clipped: dict[str, Any] = {"clip_norm": 0.3, "clip": "before"}
    serial = train(space, input_spec, steps=FEW, way="serial", **clipped)
    assert_same(serial, train(space, input_spec, steps=FEW, way="window", **clipped), 0, 0)


def test_shared_layers_run_once() -> None:
    space, input_spec = SPACES["nas_bench_201"]
    net, (batch,) = make_net(space, input_spec), images(input_spec, 1)
    ran: dict[str, list[int]] = {"stem": [], "reduction": [], "tail": []}

    def count(name: str) -> Any:
        return lambda module, inputs, output: ran[name].append(len(inputs[0]))

    net.stem.register_forward_hook(count("stem"))
    net.cells[1].register_forward_hook(count("reduction"))  # type: ignore[index, union-attr]
    net.tail.register_forward_hook(count("tail"))  # type: ignore[union-attr]
    net.window(batch.images, [(c,) * 6 for c in range(5)])
    assert ran == {"stem": [6], "reduction": [30], "tail": [30]}


def norm_after(x: Tensor, **settings: int) -> tuple[Tensor, BatchNorm]:
    norm = BatchNorm(x.shape[1]).double()
    for key, value in settings.items():
        setattr(norm, key, value)
    return norm(x), norm


def test_stacked_paths_are_normalised_one_by_one_and_move_the_statistics_in_order() -> None:
    x = torch.randn(3, 4, 2, 5, 5, dtype=torch.float64)
    y, norm = norm_after(x.flatten(0, 1), stacked=3)
    reference = BatchNorm(2).double()
    torch.testing.assert_close(y, torch.cat([reference(part) for part in x]))
    torch.testing.assert_close(norm.running_var, reference.running_var)
    assert norm.num_batches_tracked == reference.num_batches_tracked == 3


def test_a_repeated_batch_moves_the_statistics_as_often() -> None:
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    y, norm = norm_after(x, repeats=6)
    reference = BatchNorm(2).double()
    for _ in range(6):
        wanted = reference(x)
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
    torch.testing.assert_close(norm.running_var, reference.running_var)
    assert norm.num_batches_tracked == 6
    assert norm.momentum == reference.momentum
