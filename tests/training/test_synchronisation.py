"""A step never waits for the device: nothing that is computed there is read by the host, metrics included.

On a GPU torch itself refuses whatever would wait. Elsewhere the step runs on torch's `meta` device, whose tensors have
no values, so that reading one raises; copies to a device are checked to be such as need no waiting.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from src.benches.lone_step import LoneStep
from src.benches.timing import noise
from src.datasets.dataset import Batch
from src.datasets.input_spec import InputSpec
from src.samplers.fixed import Fixed
from src.samplers.network_space_search import NetworkSpaceSearch
from src.samplers.observation import GRADIENT_NORMS, IMAGES, Observation
from src.samplers.one_shot import OneShot
from src.samplers.plan import ARCHITECTURE, Plan
from src.samplers.sampler import PlannedRun, Sampler
from src.samplers.strict_fair import StrictFair
from src.samplers.uniform import Uniform
from src.search_spaces.expanded import ExpandedMini
from src.search_spaces.space import SearchSpace
from src.supernet.inter_choice import split_weights
from src.training.compiled import CompiledWindow
from src.training.parallel import DataParallel, Parallelism
from src.training.step_settings import WAYS, StepSchedule, StepSettings
from tests.samplers.differentiable import Differentiable
from tests.training.short_training import make_net, sgd
from tests.training.test_window import SPACES

META = torch.device("meta")
WARM_UP, STEPS = 6, 4


class Curious(StrictFair):
    """Asks for all that a record can hold."""

    wants = frozenset({GRADIENT_NORMS, IMAGES})

    def observe(self, observation: Observation) -> None:
        """What was asked for is there, on the device."""
        assert observation.norms is not None
        assert {norms.device.type for norms in observation.norms[1:]} == {observation.losses.device.type}


class NoWaiting(TorchDispatchMode):
    """Refuses copies from the host to a device that wait for it, and operations on tensors of both."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves(args) if isinstance(value, Tensor) and value.dim()]
        assert len({tensor.device for tensor in tensors}) < 2, f"{func} on tensors of two devices"
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" != out.device.type:
            assert (kwargs or {}).get("non_blocking"), "a copy that waits"
        return out


def lone_step(
    space: SearchSpace, input_spec: InputSpec, device: torch.device, method: str, **settings: Any
) -> LoneStep:
    """On the device, in float32; `sampler` and `parallelism` are among the settings."""
    net = make_net(space, input_spec, method).float()
    if method == "split":
        split_weights(net)
    make_sampler = settings.pop("sampler", StrictFair)
    parallelism = settings.pop("parallelism", Parallelism())
    step = LoneStep(net.to(device), make_sampler(space.sizes), sgd, StepSettings(**settings))
    step.parallelism = parallelism
    if step.architecture is not None:
        step.architecture.to(device)
    step.schedule = StepSchedule(lambda number: 0.0, epoch_steps=10**6)  # an epoch's end may wait
    return step


def batches(input_spec: InputSpec, device: torch.device) -> Iterator[Batch]:
    """Augmented where they are trained on."""
    return iter(noise(input_spec, 64, 1, seed=0, shift=2, flip=True).train_loader(8, 10**6, 0, device))


@pytest.fixture
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The static graph as it is traced; no compiler is asked to work on tensors without values."""
    monkeypatch.setattr(CompiledWindow, "_compile", lambda self, device: self.net.compilable_window)


class SoftSteps(Differentiable):
    """Updates of the logits alone: drawing a path of one operation a layer reads them."""

    def plan(self) -> Plan:
        assert self.architecture is not None
        return [self.architecture_update(self.architecture.noise(self.generator))]


def take_steps_without_values(name: str, method: str = "none", **settings: Any) -> LoneStep:
    space, input_spec = SPACES[name]
    step = lone_step(space, input_spec, META, method, **settings)
    loader = step.search_batches = batches(input_spec, META)
    step.training_step(next(loader), 0)  # sums of metrics begin on the host
    with NoWaiting():
        for batch in islice(loader, 2):
            step.training_step(batch, 0)
    return step


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize(
    ("name", "way"),
    [
        *itertools.product(["mini", "nas_bench_201"], WAYS),
        ("nas_bench_macro", "window"),
        *(pytest.param("proxyless, short, irregular", way, marks=pytest.mark.slow) for way in WAYS),
        *(pytest.param("nas_bench_macro", way, marks=pytest.mark.slow) for way in ("serial", "compiled")),
    ],
)
def test_no_way_reads_what_it_computes(name: str, way: str) -> None:
    step = take_steps_without_values(name, way=way)
    assert step.meters.passes == 3 * step.sampler.passes_per_step
    assert step.meters.loss.device.type == step.meters.hits.device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):
        step.meters.take()  # now it is read
    with pytest.raises((RuntimeError, NotImplementedError)):
        step.refuse_non_finite()


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize(
    ("method", "way"),
    [
        *itertools.product(["bias_2", "attention"], WAYS),
        *itertools.product(["split"], ["serial", "window"]),
        *(pytest.param(name, way, marks=pytest.mark.slow) for name in ("bias", "shared_bias") for way in WAYS),
    ],
)
def test_inter_choice_weights_read_nothing(method: str, way: str) -> None:
    take_steps_without_values("mini", method, way=way)


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": 0.5},
        {"clip_norm": 0.5, "clip": "before"},
        {"unsampled": "drifting"},
        {"reduction": "mean", "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_settings_of_a_step_read_nothing(settings: dict[str, Any]) -> None:
    take_steps_without_values("mini", way="window", **settings)


@pytest.mark.parametrize(
    "method", ["none", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bias", "attention", "split"))]
)
@pytest.mark.parametrize(
    "sampler",
    [
        Uniform,
        lambda sizes: Uniform(sizes, updates=3),
        lambda sizes: OneShot(sizes, ghost_batch=4),
        lambda sizes: Fixed(sizes, paths="0-1-2-0-1"),
        Curious,
        SoftSteps,
    ],
    ids=["spos", "ef", "one_shot", "fixed", "curious", "architecture"],
)
def test_no_sampler_makes_a_step_read(sampler: Callable[..., Sampler], method: str) -> None:
    take_steps_without_values("mini", method, sampler=sampler)


class ThetaSteps(NetworkSpaceSearch):
    """Updates of the logits alone: drawing one network a step reads them."""

    def plan(self) -> Plan:
        return [update for update in super().plan() if update.trains == ARCHITECTURE]


def test_a_mixture_of_network_spaces_reads_nothing() -> None:
    space, input_spec = ExpandedMini(), InputSpec(1, 10, 8)

    def sampler(sizes: Sequence[int]) -> Sampler:
        search = ThetaSteps(
            sizes,
            cost={"of": "macs", "target": 4e5, "weight": 1.0, "form": "log"},
            partition={"depth": 2, "width": 8},
            theta={"lr": 0.02, "betas": [0.5, 0.999], "weight_decay": 1e-3},
        )
        search.prepare(space, make_net(space, input_spec), PlannedRun(4, 1, input_spec))
        # it would draw the weights' network too
        search.architecture.hard_path = lambda noise: (0,) * 6  # type: ignore[method-assign]
        return search

    step = lone_step(space, input_spec, META, "none", sampler=sampler)
    loader = step.search_batches = batches(input_spec, META)
    step.training_step(next(loader), 0)
    with NoWaiting():
        for batch in islice(loader, 2):
            step.training_step(batch, 0)
    assert step.search_meters.passes == 3


def test_data_parallel_looks_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """At whether a process was asked to stop."""
    monkeypatch.setattr("src.training.parallel.distributed.all_reduce", lambda flat: None)
    monkeypatch.setattr("src.training.parallel.LOOK_EVERY", 4)
    step = take_steps_without_values("mini", parallelism=DataParallel(0, 1))
    with pytest.raises((RuntimeError, NotImplementedError)):
        step.training_step(next(batches(SPACES["mini"][1], META)), 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here, and only there can a step wait")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["mini", "nas_bench_201"])
def test_no_step_waits_for_a_gpu(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and augmentation included; the steps before compile, capture graphs, and fill caches."""

    def captured_again(_: object) -> None:
        raise AssertionError("a CUDA graph is captured after the first steps")

    space, input_spec = SPACES[name]
    device = torch.device("cuda")
    step = lone_step(space, input_spec, device, "none", way=way)
    loader = batches(input_spec, device)
    for batch in islice(loader, WARM_UP):
        step.training_step(batch, 0)
    step.meters.take()
    monkeypatch.setattr(torch.cuda.graph, "__enter__", captured_again)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in islice(loader, STEPS):
            step.training_step(batch, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    step.refuse_non_finite()
    found = step.meters.take()
    assert found["train/backward_passes"] == (WARM_UP + STEPS) * step.sampler.passes_per_step
    assert Tensor([found["train/loss"]]).isfinite().all()
