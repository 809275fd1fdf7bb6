"""The supernet step by itself, to be timed and weighed: the code that trains, without Lightning's loop around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from src.datasets.dataset import Batch
from src.samplers.plan import WEIGHTS
from src.samplers.sampler import Sampler
from src.supernet.supernet import Supernet
from src.training.step import SupernetStep
from src.training.step_settings import StepSchedule, StepSettings


class LoneStep(SupernetStep):
    """The supernet step without a Trainer, at learning rate 0: the same operations, and no weight can run away."""

    def __init__(
        self,
        net: Supernet,
        sampler: Sampler,
        optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        settings: StepSettings | None = None,
        epoch_steps: int = 1,
    ) -> None:
        schedule = StepSchedule(lambda step: 0.0, epoch_steps=epoch_steps)
        super().__init__(net, sampler, settings or StepSettings(), optimizer, schedule)
        self.configure_optimizers()
        self.optimizer = self.sets[WEIGHTS].optimizer

    def optimizers(self, use_pl_optimizer: bool = True) -> torch.optim.Optimizer:  # type: ignore[override]
        """Its own, bare."""
        return self.optimizer

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Without a Trainer's precision plugin."""
        loss.backward(*args, **kwargs)

    def fill_state(self) -> None:
        """Give every parameter the optimizer state that it has once its choice was trained; weights stay."""
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        for parameter in self.net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.net.zero_grad(set_to_none=True)


def largest_need(step: LoneStep, batch: Batch, steps: int, before: int = 0) -> int:
    """Bytes that training needs at its peak over some steps.

    On a GPU what was allocated above `before`. On a CPU parameters, optimizer state, gradients of a pass and what
    autograd saved for it, the parameters themselves not counted again: temporary buffers are missing there.
    """
    device = batch.images.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        for i in range(steps):
            step.training_step(batch, i)
        return torch.cuda.max_memory_allocated(device) - before
    return max(_need_of_a_pass(step, batch, i) for i in range(steps))


def _need_of_a_pass(step: LoneStep, batch: Batch, number: int) -> int:
    state = [v for values in step.optimizer.state.values() for v in values.values() if isinstance(v, Tensor)]
    kept = _storages([*step.net.parameters(), *step.net.buffers(), *state])
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)  # held to the end of the step, so that no storage is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step.training_step(batch, number)
    gradients = [parameter.grad for parameter in step.net.parameters() if parameter.grad is not None]
    return sum((kept | _storages(gradients) | _storages(saved)).values())


def _storages(tensors: list[Tensor]) -> dict[int, int]:
    """Address -> bytes; tensors that share a storage count once."""
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
