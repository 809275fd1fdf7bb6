"""One way of taking the supernet step, in a process of its own: allocator settings and peak memory are a process's.

The parent asks for turns over a pipe; between turns the process holds as little memory as it can.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from torch import nn

from src.allocator import give_back_freed_memory, keep_freed_memory
from src.benches.lone_step import LoneStep
from src.benches.plain_loop import Pictures, PlainLoop
from src.benches.timing import clock, noise
from src.samplers.strict_fair import StrictFair
from src.search_spaces.space import Input, SearchSpace
from src.step import StepSettings
from src.window_memory import PROBE, free_bytes, saved_bytes

PLAIN = "plain"
BATCHES = 4
"""Mini-batches in the data set of noise."""


class Case(NamedTuple):
    """What a way is timed on; plain values, since they travel to another process."""

    space: dict[str, Any]
    image_size: int
    batch_size: int
    threads: int
    device: str
    seed: int
    channels_last: bool = True


class Turn(NamedTuple):
    """What a turn found."""

    seconds: list[float]
    """Of each supernet step."""
    peak_bytes: int
    """Of the process since its start, above what it had before its first step; of the device, if that is a GPU."""


class WayProcess:
    """A way in another process; `turn` runs some steps there."""

    def __init__(self, way: str, case: Case) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, way, case))
        self.process.start()
        theirs.close()

    def turn(self, steps: int) -> Turn | None:
        """One step to warm up, then `steps` that are timed; None if there is too little memory.

        Raises:
            RuntimeError: the way raised; the message is its own.
        """
        try:
            self.pipe.send(steps)
            answer = self.pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def end(self) -> None:
        """Let the process go."""
        self.pipe.close()
        self.process.join(timeout=10)
        self.process.terminate()


def _serve(pipe: Connection, way: str, case: Case) -> None:
    device = torch.device(case.device)
    torch.set_num_threads(case.threads)
    try:
        step = make_step(way, case, device)
        before = _held(device)
        while True:
            steps = pipe.recv()
            step()
            seconds = [_timed(step, device) for _ in range(steps)]
            pipe.send(Turn(seconds, max(_held(device) - before, 0)))
            give_back_freed_memory()
            torch.cuda.empty_cache()
    except (EOFError, KeyboardInterrupt, MemoryError):
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def make_step(way: str, case: Case, device: torch.device) -> Callable[[], None]:
    """A function that takes one supernet step on the next mini-batch, its reading and augmentation included."""
    space: SearchSpace = instantiate(case.space)
    given = space.reference._replace(image_size=case.image_size)
    torch.manual_seed(case.seed)
    net = space.build(*given).to(device)
    small = given.image_size < 64
    data = noise(given, BATCHES * case.batch_size, 1, case.seed, shift=4 if small else 0, flip=True)
    _refuse_too_large(way, net, space, given, case.batch_size, device)
    if way == PLAIN:
        pixels, labels, _ = data._parts["train"]
        return PlainLoop(net, space.sizes, Pictures(pixels, labels), case.batch_size, case.seed, device).step
    if device.type == "cpu":
        keep_freed_memory()
    if case.channels_last:
        net = net.to(memory_format=torch.channels_last)
    optimizer = partial(torch.optim.SGD, lr=0.0, momentum=0.9)
    step = LoneStep(net, StrictFair(space.sizes, case.seed), lambda n: optimizer(n.parameters()), StepSettings(way=way))
    batches = iter(data.train_loader(case.batch_size, 10**6, case.seed, device))
    return lambda: step.training_step(next(batches), 0)


def _refuse_too_large(
    way: str, net: nn.Module, space: SearchSpace, given: Input, batch_size: int, device: torch.device
) -> None:
    """Rather than be killed in the middle, and others with it.

    Raises:
        MemoryError: what a step saves for its backward passes is more than what is free.
    """
    sizes, free = space.sizes, free_bytes(device)
    routes = [tuple(min(choice, m - 1) for m in sizes) for choice in range(max(sizes))]
    images = torch.zeros(PROBE, given.in_channels, given.image_size, given.image_size, device=device)
    groups = [[route] for route in routes] if way in (PLAIN, "serial") else [routes]
    needed = max(saved_bytes(net, images, group) for group in groups) / PROBE * batch_size
    if free is not None and needed > free:
        raise MemoryError


def _timed(step: Callable[[], None], device: torch.device) -> float:
    start = clock(device)
    step()
    return clock(device) - start


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
