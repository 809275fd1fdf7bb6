"""What observers are told of an update: the same numbers for every way, resumed or not; and weights of losses."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn import functional as F

from src.datasets.input_spec import InputSpec
from src.samplers.observation import GRADIENT_NORMS, IMAGES, Observation
from src.samplers.plan import Update
from src.samplers.strict_fair import StrictFair
from src.samplers.uniform import Uniform
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.training.image_meter import ImageMeter
from src.training.objective import CrossEntropy, MixedCrossEntropy
from src.training.parallel import DataParallel, PathParallel
from tests.training.short_training import train as train_space
from tests.training.test_step import PATHS, Once, batches, gradient_norm, make_net, train

EVERYTHING = frozenset({GRADIENT_NORMS, IMAGES})


def observed(**settings: Any) -> tuple[list[Observation], Any]:
    """The observations of four steps, two an epoch, of one update of PATHS each."""
    sampler = Once([Update(PATHS)], EVERYTHING)
    step = train(make_net(), sampler, batches(4), lr=0.01, epoch_steps=2, **settings)
    return sampler.observations, step


def test_step_epoch_and_its_end_are_told() -> None:
    sampler = Once([Update(PATHS[:1]), Update(PATHS[1:])])
    train(make_net(), sampler, batches(5), lr=0.01, epoch_steps=2)
    told = [(o.step, o.epoch, o.end_of_epoch) for o in sampler.observations]
    # the last update of an epoch's last step alone ends it; the third epoch is cut short
    assert told == [
        (0, 0, False), (0, 0, False), (1, 0, False), (1, 0, True),
        (2, 1, False), (2, 1, False), (3, 1, False), (3, 1, True),
        (4, 2, False), (4, 2, False),
    ]  # fmt: skip
    assert [o.update.routes for o in sampler.observations[:2]] == [PATHS[:1], PATHS[1:]]


def test_an_observer_gets_no_more_than_it_wants() -> None:
    plain = Once([Update(PATHS)])
    train(make_net(), plain, batches(2), lr=0.0, epoch_steps=1)
    assert all(o.norms is None and o.images is None for o in plain.observations)
    assert all(len(o.losses) == len(o.hits) == 3 for o in plain.observations)


def test_gradient_norms_of_operations_are_those_of_their_parameters() -> None:
    (first, *_), _ = observed()
    net, (batch, *_) = make_net().train(), batches(4)
    torch.stack([F.cross_entropy(net(batch.images, path), batch.labels) for path in PATHS]).sum().backward()
    assert first.norms is not None
    assert first.norms.ops == tuple(itertools.product(range(5), range(3)))
    for (layer, choice), squared, total in zip(*first.norms[:3], strict=True):
        gradients = [p.grad for p in net.op_modules((layer, choice))[0].parameters()]
        own = [g.norm() for g in gradients if g is not None]
        torch.testing.assert_close(squared, sum((n.square() for n in own), torch.tensor(0.0).double()))
        torch.testing.assert_close(total, sum(own, torch.tensor(0.0).double()))
    assert first.norms.whole.item() == pytest.approx(gradient_norm(net))
    assert first.norms.clip_factor == 1


def test_norms_are_of_before_clipping_and_say_what_it_left() -> None:
    (free, *_), _ = observed()
    (clipped, *_), _ = observed(clip_norm=0.5)
    assert free.norms is not None and clipped.norms is not None
    assert free.norms.whole > 0.5
    for before, also in zip(free.norms[1:4], clipped.norms[1:4], strict=True):
        assert torch.equal(before, also)
    assert clipped.norms.clip_factor.item() == pytest.approx(0.5 / free.norms.whole.item(), rel=1e-5)
    torch.testing.assert_close(clipped.norms.clipped, free.norms.squared * clipped.norms.clip_factor**2)
    # a gradient within the bound keeps its length
    (within, *_), _ = observed(clip_norm=1e9)
    assert within.norms is not None
    assert within.norms.clip_factor == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("objective", [CrossEntropy, MixedCrossEntropy])
def test_softmax_minus_target_is_the_gradient_of_the_loss(objective: type[CrossEntropy], smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(7, 10, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (7,), generator=generator)
    logits.requires_grad_()
    loss = objective(smoothing)
    (gradient,) = torch.autograd.grad(loss(logits, labels).per_image.sum(), logits)
    torch.testing.assert_close(loss.logit_norms(logits, labels), gradient.norm(dim=1))


def test_images_are_told_once_an_epoch_by_route_and_position() -> None:
    sampler, net, data = Once([Update(PATHS[:2]), Update(PATHS[2:])], EVERYTHING), make_net(), batches(4)
    for i, batch in enumerate(data):
        batch.positions.copy_(torch.randperm(12, generator=torch.Generator().manual_seed(i)))
    train(net, sampler, data, lr=0.0, momentum=0.0, epoch_steps=2)
    records = [o.images for o in sampler.observations if o.images is not None]
    assert [o.end_of_epoch for o in sampler.observations] == [o.images is not None for o in sampler.observations]
    assert len(records) == 2
    # by hand: weights stay, at learning rate 0
    net.train()
    for record, (one, two) in zip(records, (data[:2], data[2:]), strict=True):
        rows = [(batch, path) for batch in (one, two) for path in PATHS]
        assert torch.equal(record.positions, torch.cat([batch.positions for batch, _ in rows]))
        logits = [net(batch.images, path).detach() for batch, path in rows]
        losses = [F.cross_entropy(z, b.labels, reduction="none") for z, (b, _) in zip(logits, rows, strict=True)]
        norms = [(z.softmax(1) - F.one_hot(b.labels, 10)).norm(dim=1) for z, (b, _) in zip(logits, rows, strict=True)]
        torch.testing.assert_close(record.losses, torch.cat(losses))
        torch.testing.assert_close(record.logit_norms, torch.cat(norms))


def test_images_survive_a_resume_in_the_middle_of_an_epoch() -> None:
    parts = [(torch.arange(4) + i, torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(i))) for i in range(3)]
    whole, first, second = ImageMeter(), ImageMeter(), ImageMeter()
    for part in parts:
        whole.add(*part)
    first.add(*parts[0])
    first.add(*parts[1])
    second.load_state_dict(first.state_dict())
    assert second.state_dict().keys() == first.state_dict().keys()
    second.add(*parts[2])
    for mine, theirs in zip(second.take(), whole.take(), strict=True):
        assert torch.equal(mine, theirs)
    assert not second.state_dict()


SPACES = {
    "mini": (Mini(), InputSpec(1, 10, 8)),
    "cells": (NasBench201(cells=1), InputSpec(3, 5, 8)),
    "nodes": (NasBench1Shot1(3, cells=1, supernet_channels=4), InputSpec(3, 5, 8)),
}


def values(observation: Observation) -> list[Tensor]:
    """All numbers of an observation."""
    assert observation.norms is not None
    rows = [observation.losses, observation.hits, *observation.norms[1:], observation.norms.clipped]
    return [*rows, *(observation.images or [])]


class Curious(StrictFair):
    """Remembers all that an observation can hold."""

    wants = EVERYTHING

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told: list[Observation] = []

    def observe(self, observation: Observation) -> None:
        self.told.append(observation)


def told(name: str, way: str, parallelism: Any = None) -> list[list[Tensor]]:
    """The numbers of four updates."""
    space, input_spec = SPACES[name]
    sampler = Curious(space.sizes, seed=5)
    train_space(space, input_spec, steps=4, sampler=sampler, parallelism=parallelism, way=way, clip_norm=1.0)
    return [values(observation) for observation in sampler.told]


def assert_same_numbers(mine: list[list[Tensor]], theirs: list[list[Tensor]]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("way", ["window", pytest.param("compiled", marks=pytest.mark.slow)])
def test_every_way_observes_the_same_numbers(name: str, way: str) -> None:
    assert_same_numbers(told(name, way), told(name, "serial"))


def observe_in_a_process(rank: int, size: int, port: int, folder: str) -> None:
    """Save what this process was told, sharing paths or images with the other ones."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    for kind in (PathParallel, DataParallel):
        for name in SPACES:
            torch.save(told(name, "serial", kind(rank, size)), Path(folder) / f"{kind.__name__}.{name}.{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_every_process_observes_what_one_alone_does(size: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(observe_in_a_process, (size, port, str(tmp_path)), nprocs=size)
    for kind, name in itertools.product(("PathParallel", "DataParallel"), SPACES):
        ranks = [torch.load(tmp_path / f"{kind}.{name}.{rank}.pt", weights_only=True) for rank in range(size)]
        assert_same_numbers(ranks[0], told(name, "serial"))
        # to the bit among each other: samplers that learn must not part ways
        for other in ranks[1:]:
            assert all(
                torch.equal(a, b)
                for one, two in zip(ranks[0], other, strict=True)
                for a, b in zip(one, two, strict=True)
            )


# Weights of routes and of images


def gradients(net: nn.Module) -> list[Tensor | None]:
    return [parameter.grad for parameter in net.parameters()]


def by_hand(loss: Callable[[nn.Module], Tensor]) -> list[Tensor | None]:
    net = make_net().train()
    loss(net).backward()
    return gradients(net)


@pytest.mark.parametrize("way", ["serial", "window"])
def test_weighted_routes_and_images_give_the_gradient_of_the_weighted_loss(way: str) -> None:
    factors, (batch,) = (0.5, 2.0, 3.0), batches(1)
    weights = torch.linspace(0.1, 4.0, 12, dtype=torch.float64)
    weighted = type(batch)(batch.images, batch.labels, batch.index, batch.positions, weights)
    net = make_net()
    train(net, Once([Update(PATHS, weights=factors)]), [weighted], lr=0.0, way=way)

    def loss(other: nn.Module) -> Tensor:
        single = [F.cross_entropy(other(batch.images, path), batch.labels, reduction="none") for path in PATHS]
        return sum((f * (weights * own).sum() / 12 for f, own in zip(factors, single, strict=True)), torch.zeros(()))

    for mine, theirs in zip(gradients(net), by_hand(loss), strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_weights_of_one_change_nothing_and_losses_are_told_without_them() -> None:
    (batch,) = batches(1)
    doubled = type(batch)(batch.images, batch.labels, batch.index, batch.positions, torch.full((12,), 2.0).double())
    plain, ones, twice = (Once([Update(PATHS, weights=w)]) for w in (None, (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)))
    nets = [make_net() for _ in range(3)]
    for net, sampler, data in zip(nets, (plain, ones, twice), (batch, batch, doubled), strict=True):
        train(net, sampler, [data], lr=0.0)
    for a, b, c in zip(*map(gradients, nets), strict=True):
        if a is not None and b is not None and c is not None:
            assert torch.equal(a, b)
            torch.testing.assert_close(4 * a, c)
    assert torch.equal(plain.observations[0].losses, twice.observations[0].losses)


def test_an_update_needs_a_weight_for_each_route() -> None:
    with pytest.raises(ValueError, match="2 weights for 3 routes"):
        Update(PATHS, weights=(1.0, 2.0))


def test_single_path_norms_are_whole_path_norms() -> None:
    class Single(Uniform):
        wants = frozenset({GRADIENT_NORMS})

        def observe(self, observation: Observation) -> None:
            seen.append(observation)

    seen, net = list[Observation](), make_net()
    train(net, Single(Mini().sizes, seed=3), batches(1), lr=0.0)
    (observation,) = seen
    assert observation.norms is not None
    assert observation.norms.whole.item() == pytest.approx(gradient_norm(net))
    assert observation.norms.ops == tuple(enumerate(observation.update.routes[0]))
