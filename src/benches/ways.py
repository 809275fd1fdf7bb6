"""Ways of taking the supernet step, the plain loop among them, made from plain values.

B images of a mini-batch, L layers, m choices of a layer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate

from src.benches.lone_step import LoneStep
from src.benches.plain_loop import Pictures, PlainLoop
from src.benches.timing import noise
from src.datasets.dataset import Batch
from src.datasets.input_spec import InputSpec
from src.runtime.cpu_memory import keep_freed_memory
from src.runtime.devices import allow_tf32
from src.samplers.fixed import Fixed
from src.samplers.sampler import Sampler
from src.samplers.strict_fair import StrictFair
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from src.training.step_settings import StepSettings
from src.training.window_memory import PROBE, free_bytes, saved_bytes

PLAIN = "plain"
BATCHES = 4
"""Mini-batches in the data set of noise."""


class Case(NamedTuple):
    """The step that a way is timed on; plain values, since they travel to another process."""

    space: dict[str, Any]
    image_size: int
    batch_size: int
    threads: int
    device: str
    seed: int
    channels_last: bool = True
    precision: str = "32-true"
    """Of our ways, 32-true or bf16-mixed; the plain loop stays with the first."""
    tf32: bool = True
    """Of all ways."""
    paths: int | None = None
    """Of an update; None: as many as strict fairness has."""


def make_step(way: str, case: Case, device: torch.device) -> Callable[[], None]:
    """A function that takes one supernet step on the next mini-batch, its reading and augmentation included."""
    space: SearchSpace = instantiate(case.space)
    input_spec = space.reference._replace(image_size=case.image_size)
    torch.manual_seed(case.seed)
    allow_tf32(case.tf32)
    # The same weights and images for every way
    net = space.build(*input_spec).to(device)
    small = input_spec.image_size < 64
    data = noise(input_spec, BATCHES * case.batch_size, 1, case.seed, shift=4 if small else 0, flip=True)
    _refuse_too_large(way, net, space, input_spec, case, device)
    # The plain loop: float32, contiguous, torch's loader
    if way == PLAIN:
        pixels, labels, _ = data.part("train")
        pictures = Pictures(pixels, labels)
        return PlainLoop(net, space.sizes, pictures, case.batch_size, case.seed, device, case.paths).step
    # Ours: the memory format, the allocator and the loader of a training run
    if device.type == "cpu":
        keep_freed_memory()
    if case.channels_last:
        net = net.to(memory_format=torch.channels_last)
    batches = iter(data.train_loader(case.batch_size, 10**6, case.seed, device))
    return partial(_take, _lone_step(way, net, space, case), batches, device, case.precision)


def _lone_step(way: str, net: Supernet, space: SearchSpace, case: Case) -> LoneStep:
    optimizer = partial(torch.optim.SGD, lr=0.0, momentum=0.9)
    sampler: Sampler = StrictFair(space.sizes, case.seed)
    if case.paths not in (None, max(space.sizes)):
        sampler = Fixed(space.sizes, paths=evenly_dealt(space.sizes, case.paths, case.seed))
    return LoneStep(net, sampler, lambda n: optimizer(n.parameters()), StepSettings(way=way))


def evenly_dealt(sizes: Sequence[int], paths: int, seed: int) -> list[ArchPath]:
    """So many paths, among which no layer's choices differ by more than one in how often they occur."""
    generator = random.Random(seed)
    columns = [[choice % size for choice in range(paths)] for size in sizes]
    for column in columns:
        generator.shuffle(column)
    return list(zip(*columns, strict=True))


def _take(step: LoneStep, batches: Iterator[Batch], device: torch.device, precision: str) -> None:
    """One step, in the precision that Lightning's plugin would set around it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        step.training_step(next(batches), 0)


def _refuse_too_large(
    way: str, net: Supernet, space: SearchSpace, input_spec: InputSpec, case: Case, device: torch.device
) -> None:
    """Rather than be killed in the middle, and others with it.

    Raises:
        MemoryError: what a step saves for its backward passes is more than what is free.
    """
    free = free_bytes(device)
    routes = evenly_dealt(space.sizes, case.paths or max(space.sizes), case.seed)
    images = torch.zeros(PROBE, input_spec.in_channels, input_spec.image_size, input_spec.image_size, device=device)
    groups = [[route] for route in routes] if way in (PLAIN, "serial") else [routes]
    needed = max(saved_bytes(net, images, group) for group in groups) / PROBE * case.batch_size
    if free is not None and needed > free:
        raise MemoryError
