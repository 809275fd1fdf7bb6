"""The supernet step: what gradients it forms, what it leaves alone, when it stops."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.dataset import Batch
from src.runtime.errors import RunError
from src.samplers.fixed import Fixed
from src.samplers.observation import Observation
from src.samplers.plan import Plan, Update
from src.samplers.sampler import Sampler
from src.samplers.strict_fair import StrictFair
from src.samplers.uniform import Uniform
from src.search_spaces.mini import Mini
from src.supernet.supernet import Supernet
from src.training.step import SupernetStep
from src.training.step_settings import StepSchedule, StepSettings

SPACE = Mini()


def batches(count: int, seed: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Batch(
            torch.randn(12, 1, 8, 8, generator=generator, dtype=torch.float64),
            torch.randint(10, (12,), generator=generator),
            torch.arange(12) + 100,
            torch.arange(12),
        )
        for _ in range(count)
    ]


class Loader:
    """The given batches; a bare list would be taken for several loaders."""

    def __init__(self, data: list[Batch]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.data)


def make_net(seed: int = 0) -> Supernet:
    torch.manual_seed(seed)
    return SPACE.build(1, 10, 8).double()


def train(
    net: Supernet,
    sampler: Sampler,
    data: list[Batch],
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epoch_steps: int = 1,
    **settings: Any,
) -> SupernetStep:
    def sgd(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=weight_decay)

    step = SupernetStep(
        net, sampler, StepSettings(**settings), sgd, StepSchedule(lambda _: lr, epoch_steps=epoch_steps)
    )
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(step, Loader(data))
    return step


class Once(Sampler):
    """The same plan in every step, remembering what it observes."""

    def __init__(self, plan: Plan, wants: frozenset[str] = frozenset()) -> None:
        super().__init__(SPACE.sizes)
        self.given, self.wants = plan, wants
        self.observations: list[Observation] = []

    @property
    def passes_per_step(self) -> int:
        return sum(len(update.routes) for update in self.given)

    def plan(self) -> Plan:
        return self.given

    def observe(self, observation: Observation) -> None:
        self.observations.append(observation)


PATHS = ((0, 1, 2, 0, 1), (1, 2, 0, 1, 2), (2, 0, 1, 2, 0))


def summed_gradient(net: nn.Module, batch: Batch, combine: Callable[[list[Tensor]], Tensor]) -> list[Tensor | None]:
    net.train()
    combine([F.cross_entropy(net(batch.images, path), batch.labels) for path in PATHS]).backward()
    return [parameter.grad for parameter in net.parameters()]


@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 1), ("mean", 3)])
def test_accumulated_gradients_are_the_gradient_of_the_combined_loss(reduction: str, divisor: int) -> None:
    net, reference = make_net(), make_net()
    (batch,) = batches(1)
    train(net, Once([Update(PATHS)]), [batch], lr=0.0, reduction=reduction)
    expected = summed_gradient(reference, batch, lambda losses: torch.stack(losses).sum() / divisor)
    for found, wanted in zip(net.parameters(), expected, strict=True):
        if wanted is None:
            assert found.grad is None
        else:
            torch.testing.assert_close(found.grad, wanted, rtol=1e-9, atol=1e-12)


def test_all_paths_of_an_update_see_the_same_images_and_consecutive_steps_other_ones() -> None:
    net, seen = make_net(), list[Tensor]()
    net.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    train(net, StrictFair(SPACE.sizes), batches(2), lr=0.01)
    assert len(seen) == 6
    assert all(torch.equal(images, seen[0]) for images in seen[1:3])
    assert all(torch.equal(images, seen[3]) for images in seen[4:])
    assert not torch.equal(seen[0], seen[3])


def test_one_update_is_one_optimizer_step_however_many_paths_it_has() -> None:
    for sampler, optimizer_steps in ((StrictFair(SPACE.sizes), 4), (Uniform(SPACE.sizes, updates=3), 12)):
        step = train(make_net(), sampler, batches(4), lr=0.01)
        assert step.trainer.global_step == optimizer_steps
        assert step.steps == 4
        assert step.meters.backward_passes == 12


def test_strict_fairness_counts_are_equal_after_training() -> None:
    step = train(make_net(), StrictFair(SPACE.sizes), batches(7), lr=0.01)
    assert step.counts.values.eq(7).all()


def off_path(net: nn.Module, path: tuple[int, ...]) -> dict[str, Tensor]:
    on = {f"layers.{layer}.choices.{choice}." for layer, choice in enumerate(path)}
    return {
        name: parameter.detach().clone()
        for name, parameter in net.named_parameters()
        if name.startswith("layers.") and not any(name.startswith(prefix) for prefix in on)
    }


def test_unsampled_choices_are_frozen_by_default() -> None:
    net, path = make_net(), (2, 1, 0, 2, 1)
    before = off_path(net, path)
    train(net, Fixed(SPACE.sizes, paths=[path]), batches(3), weight_decay=0.1)
    assert before
    assert all(torch.equal(before[name], now) for name, now in off_path(net, path).items())


def test_unsampled_choices_drift_under_weight_decay_if_asked_to() -> None:
    net, path = make_net(), (2, 1, 0, 2, 1)
    before = off_path(net, path)
    train(net, Fixed(SPACE.sizes, paths=[path]), batches(3), weight_decay=0.1, unsampled="drifting")
    moved = [not torch.equal(before[name], now) for name, now in off_path(net, path).items() if before[name].any()]
    assert moved
    assert all(moved)


def test_frozen_choices_keep_their_momentum_untouched_while_others_train() -> None:
    """A choice trained once, then left out, must not coast on (FACTS: gradients left as zeros)."""
    net = make_net()

    class Twice(Once):
        def plan(self) -> Plan:
            self.given = [Update(((2,) * 5,))] if not self.observations else [Update(((1,) * 5,))]
            return self.given

    after_first: dict[str, Tensor] = {}

    class Snapshot(Twice):
        def observe(self, observation: Observation) -> None:
            super().observe(observation)
            if len(self.observations) == 1:
                after_first.update({name: p.detach().clone() for name, p in net.named_parameters()})

    train(net, Snapshot([]), batches(4))
    for name, parameter in net.named_parameters():
        if ".choices.2." in name:
            assert torch.equal(parameter, after_first[name]), name


def gradient_norm(net: nn.Module) -> float:
    return torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm().item()


def test_clipping_after_bounds_the_sum_and_clipping_before_bounds_each_path() -> None:
    (batch,) = batches(1)
    norms = {}
    for clip in ("after", "before"):
        net = make_net()
        train(net, Once([Update(PATHS)]), [batch], lr=0.0, clip_norm=0.5, clip=clip)
        norms[clip] = gradient_norm(net)
    assert norms["after"] == pytest.approx(0.5, rel=1e-4)
    assert 0.5 < norms["before"] <= 1.5 + 1e-6


def test_clipping_before_sums_what_each_path_gives_alone() -> None:
    (batch,) = batches(1)
    together = make_net()
    train(together, Once([Update(PATHS)]), [batch], lr=0.0, clip_norm=0.3, clip="before")
    total = [torch.zeros_like(p) for p in together.parameters()]
    for path in PATHS:
        alone = make_net()
        train(alone, Once([Update((path,))]), [batch], lr=0.0, clip_norm=0.3, clip="after")
        for sum_, parameter in zip(total, alone.parameters(), strict=True):
            if parameter.grad is not None:
                sum_ += parameter.grad
    for parameter, wanted in zip(together.parameters(), total, strict=True):
        found = torch.zeros_like(wanted) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)


def test_lr_scale_scales_one_update() -> None:
    (batch,) = batches(1)
    full, half = make_net(), make_net()
    start = copy.deepcopy(dict(full.named_parameters()))
    train(full, Once([Update(PATHS[:1])]), [batch], momentum=0.0)
    train(half, Once([Update(PATHS[:1], lr_scale=0.5)]), [batch], momentum=0.0)
    for name, parameter in full.named_parameters():
        moved = dict(half.named_parameters())[name] - start[name]
        torch.testing.assert_close(moved * 2, parameter - start[name], rtol=1e-8, atol=1e-12)


def test_a_loss_that_is_not_finite_names_step_and_path_and_leaves_the_weights() -> None:
    net = make_net()
    before = copy.deepcopy(dict(net.named_parameters()))
    data = batches(1)
    data[0].images[0] = float("nan")
    with pytest.raises(RunError, match=r"step 0 on path 0-1-2-0-1"):
        train(net, Once([Update(PATHS)]), data)
    assert all(torch.equal(before[name], parameter) for name, parameter in net.named_parameters())
