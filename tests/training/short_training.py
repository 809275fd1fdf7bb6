"""A few real training steps in float64, on any space, with any inter-choice weights, in any way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from src.datasets.dataset import Batch
from src.datasets.input_spec import InputSpec
from src.samplers.plan import ARCHITECTURE, WEIGHTS
from src.samplers.sampler import Sampler
from src.samplers.strict_fair import StrictFair
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import synchronise
from src.supernet.inter_choice import Attention, Bias, InterChoice, SharedBias, Split
from src.supernet.supernet import Supernet
from src.training.parallel import Parallelism
from src.training.step import SupernetStep
from src.training.step_settings import StepSchedule, StepSettings
from tests.training.test_step import Loader

LR = 1e-3
"""Small, since a diverging training amplifies rounding without end."""

METHODS: dict[str, Callable[[], InterChoice]] = {
    "none": InterChoice,
    "bias": Bias,
    "bias_2": lambda: Bias(2, predecessors="true"),
    "shared_bias": SharedBias,
    "attention": lambda: Attention(hidden=True),
    "split": Split,
}


def images(input_spec: InputSpec, count: int, size: int = 6, seed: int = 1) -> list[Batch]:
    """`count` batches of noise, `size` images each."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size, input_spec.in_channels, input_spec.image_size, input_spec.image_size)
    return [
        Batch(
            torch.randn(shape, generator=generator, dtype=torch.float64),
            torch.randint(input_spec.num_classes, (size,), generator=generator),
            torch.arange(size),
            torch.arange(size),
        )
        for _ in range(count)
    ]


def make_net(space: SearchSpace, input_spec: InputSpec, method: str = "none") -> Supernet:
    """The supernet in float64, with tables that do something from the start."""
    torch.manual_seed(0)
    net = space.build(*input_spec)
    METHODS[method]().attach(net, torch.zeros(2, input_spec.in_channels, input_spec.image_size, input_spec.image_size))
    for name, parameter in net.named_parameters():
        if "table" in name:
            nn.init.normal_(parameter, std=0.1)
    return net.double()


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), LR, momentum=0.9, weight_decay=1e-3)


def train(
    space: SearchSpace,
    input_spec: InputSpec,
    method: str = "none",
    steps: int = 20,
    sampler: Sampler | None = None,
    parallelism: Parallelism | None = None,
    epoch_steps: int = 2,
    **settings: Any,
) -> SupernetStep:
    """Train by the real step under a real Trainer; inter-choice `split` happens half way."""
    parallelism = parallelism or Parallelism()
    net = make_net(space, input_spec, method)
    if parallelism.images > 1:
        synchronise(net)
    step = SupernetStep(
        net,
        sampler or StrictFair(space.sizes, seed=5),
        StepSettings(**settings),
        sgd,
        StepSchedule(lambda _: LR, steps // 2 if method == "split" else None, epoch_steps),
        parallelism,
    )
    if step.architecture is not None:
        step.architecture.double()
        step.search_batches = iter([_share(batch, parallelism) for batch in images(input_spec, steps, seed=2)])
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(step, Loader([_share(batch, parallelism) for batch in images(input_spec, steps)]))
    return step


def _share(batch: Batch, parallelism: Parallelism) -> Batch:
    """A process's own images, if they are divided."""
    parts = (batch.images, batch.labels, batch.index)
    images, labels, index = (part.chunk(parallelism.images)[parallelism.rank % parallelism.images] for part in parts)
    return Batch(images, labels, index, batch.positions)


def state(step: SupernetStep) -> dict[str, Tensor]:
    """Weights, gradients of the last update, BN statistics and momentum, by name."""
    net = step.net
    found = {f"buffer {name}": value for name, value in net.named_buffers()}
    optimizer = step.sets[WEIGHTS].optimizer
    for name, parameter in net.named_parameters():
        found[f"weight {name}"] = parameter.detach()
        if parameter.grad is not None:
            found[f"gradient {name}"] = parameter.grad
        momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            found[f"momentum {name}"] = momentum
    # logits and the moments of their optimizer
    for name, logits in step.architecture.named_parameters() if step.architecture is not None else ():
        found[f"architecture {name}"] = logits.detach()
        moments = step.sets[ARCHITECTURE].optimizer.state.get(logits, {})
        found |= {f"architecture {name} {key}": value for key, value in moments.items() if isinstance(value, Tensor)}
    return found


def assert_same(one: SupernetStep, other: SupernetStep, rtol: float = 1e-8, atol: float = 1e-9) -> None:
    """Equal up to the rounding of another order of summation, and the same parameters without a gradient."""
    assert_equal_states(state(one), state(other), rtol, atol)
    assert one.meters.hits == other.meters.hits
    assert abs(one.meters.loss - other.meters.loss) < 1e-6


def assert_equal_states(mine: dict[str, Tensor], theirs: dict[str, Tensor], rtol: float, atol: float) -> None:
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=rtol, atol=atol, msg=partial("{}: {}".format, name))
