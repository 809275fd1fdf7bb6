"""Updates of architecture parameters beside those of the weights: each leaves the other's set bitwise alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.benches.lone_step import LoneStep
from src.datasets.input_spec import InputSpec
from src.samplers.plan import ARCHITECTURE, Plan
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import norms_of
from src.training.parameter_set import ParameterSet
from src.training.step import ARCHITECTURE_COLUMNS, SupernetStep
from tests.samplers.differentiable import Differentiable
from tests.training.short_training import images, make_net, sgd, state, train

SPACES: dict[str, tuple[SearchSpace, InputSpec]] = {
    "mini": (Mini(), InputSpec(1, 10, 8)),
    "cells": (NasBench201(cells=1), InputSpec(3, 5, 8)),
}


class Only(Differentiable):
    """One of the two updates of each plan."""

    def __init__(self, *arguments: Any, trains: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.trains = trains

    def plan(self) -> Plan:
        return [update for update in super().plan() if update.trains == self.trains]


def fit(name: str, trains: str, steps: int = 3, **settings: Any) -> SupernetStep:
    space, input_spec = SPACES[name]
    sampler = Only(space.sizes, 5, steps, 0.0, trains=trains)
    return train(space, input_spec, steps=steps, sampler=sampler, **settings)


@pytest.mark.parametrize("way", ["serial", "window"])
@pytest.mark.parametrize("name", SPACES)
def test_an_update_of_the_logits_leaves_weights_momentum_and_statistics_bitwise_alone(name: str, way: str) -> None:
    step = fit(name, ARCHITECTURE, way=way)
    fresh = make_net(*SPACES[name])
    for (kind, mine), theirs in zip(step.net.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), kind
    assert not any(kind.startswith(("momentum", "gradient")) for kind in state(step))
    moved = [logits.abs().max() for logits in step.architecture.logits]  # type: ignore[union-attr]
    assert min(moved) > 1e-3
    assert int(step.counts.values.sum()) == 0  # counts speak of weights
    assert all(norm.track_running_stats for norm in norms_of([step.net]))


@pytest.mark.parametrize("name", SPACES)
def test_an_update_of_the_weights_leaves_the_logits_alone(name: str) -> None:
    step = fit(name, "weights")
    assert step.architecture is not None
    assert all(not logits.any() and logits.grad is None for logits in step.architecture.logits)
    assert not step.sets[ARCHITECTURE].optimizer.state
    assert step.search_meters.backward_passes == 0


def test_the_gradient_of_the_logits_is_that_of_loss_and_cost_on_the_search_batch() -> None:
    space, input_spec = SPACES["mini"]
    step = fit("mini", ARCHITECTURE, steps=1)
    reference = Differentiable(space.sizes, 5, 1, 0.0)
    assert reference.architecture is not None and step.architecture is not None
    reference.architecture.double()
    update, _ = reference.plan()
    (batch,) = images(input_spec, 1, seed=2)
    net = make_net(space, input_spec).train()
    assert update.penalty is not None
    (F.cross_entropy(net(batch.images, update.routes[0]), batch.labels) + update.penalty).backward()
    for mine, theirs in zip(step.architecture.logits, reference.architecture.logits, strict=True):
        assert theirs.grad is not None and theirs.grad.abs().max() > 1e-4
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def test_a_clipped_gradient_of_the_logits_has_the_norm_asked_for() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    module = nn.ParameterList([parameter])
    parameter.grad = torch.tensor([3.0, 0.0, 4.0])
    ParameterSet(module, torch.optim.SGD([parameter], 1.0), lambda _: 0.5, clip_norm=1.0).update(0)
    assert parameter.tolist() == pytest.approx([-0.3, 0, -0.4], rel=1e-5)


def test_each_group_keeps_its_share_of_the_scheduled_rate() -> None:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": parameters[:1], "lr": 0.05}, {"params": parameters[1:], "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, 0.05)
    each = ParameterSet(nn.ParameterList(parameters), optimizer, lambda step: 0.05 / (step + 1))
    assert each.set_rates(1) == 0.025
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.025, 0.005])
    # also on the way back from a checkpoint, whose groups hold rates that were scheduled
    assert each.set_rates(0, 0.5) == 0.025
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.025, 0.005])


def test_both_updates_meter_their_own_losses_and_share_the_passes() -> None:
    space, input_spec = SPACES["mini"]
    sampler = Differentiable(space.sizes, 5, 8, warmup=0.25)
    step = train(space, input_spec, steps=8, sampler=sampler)
    assert step.meters.backward_passes == sampler.passes_in(8) == 14
    assert (step.meters.passes, step.search_meters.passes) == (8, 6)
    row = step.extra_metrics()
    assert set(ARCHITECTURE_COLUMNS) <= row.keys()
    assert 0 < row["architecture/entropy"] < float(torch.tensor(3.0).log())
    # nothing to say of an interval without an update of the logits
    assert ARCHITECTURE_COLUMNS[0] not in step.extra_metrics()


def test_a_search_batch_is_drawn_for_each_update_that_asks_for_one() -> None:
    space, input_spec = SPACES["mini"]

    class Twice(Differentiable):
        def plan(self) -> Plan:
            return super().plan() + super().plan()

    sampler = Twice(space.sizes, 5, 8, 0.0)
    assert sampler.architecture is not None
    sampler.architecture.double()
    step = LoneStep(make_net(space, input_spec), sampler, sgd)
    step.search_batches = iter(images(input_spec, 5, seed=2))
    for batch in images(input_spec, 2):
        step.training_step(batch, 0)
    assert len(list(step.search_batches)) == 1
    assert step.counts.values.sum(1).tolist() == [4] * 5
