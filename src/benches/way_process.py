"""One way of taking the supernet step, in a process of its own: allocator settings and peak memory are a process's.

The parent asks for turns over a pipe; between turns the process holds as little memory as it can.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from src.benches.timing import clock
from src.benches.ways import Case, make_step
from src.runtime.cpu_memory import give_back_freed_memory


class Turn(NamedTuple):
    """Times and memory of one turn."""

    seconds: list[float]
    """Of each supernet step."""
    warm_up: float
    """Seconds of the step before them; the first one of a case compiles, if its way does."""
    peak_bytes: int
    """Of the process since its start, above what it had before its first step; of the device, if that is a GPU."""


class WayProcess:
    """A way in another process; `turn` runs some steps there."""

    def __init__(self, way: str) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, way))
        self.process.start()
        theirs.close()

    def turn(self, case: Case, steps: int) -> Turn | None:
        """One step to warm up, then `steps` that are timed; None if there is too little memory.

        What a case needs is kept for its next turn.

        Raises:
            RuntimeError: the way raised; the message is its own.
        """
        try:
            self.pipe.send((case, steps))
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


@contextmanager
def ways_in_processes(ways: Iterable[str]) -> Iterator[dict[str, WayProcess]]:
    """A process for each way, ended with the block."""
    processes: dict[str, WayProcess] = {}
    try:
        for way in ways:
            processes[way] = WayProcess(way)
        yield processes
    finally:
        for process in processes.values():
            process.end()


def _serve(pipe: Connection, way: str) -> None:
    made: dict[str, Callable[[], None]] = {}
    before = 0
    try:
        while True:
            case, steps = pipe.recv()
            device = torch.device(case.device)
            torch.set_num_threads(case.threads)
            # a case is built once; what is allocated before the first is not its own
            if repr(case) not in made:
                made[repr(case)] = make_step(way, case, device)
                before = before or _held(device)
            step = made[repr(case)]
            # the first step fills caches and compiles
            warm_up = _timed(step, device)
            seconds = [_timed(step, device) for _ in range(steps)]
            pipe.send(Turn(seconds, warm_up, max(_held(device) - before, 0)))
            # the other processes measure on the same machine
            give_back_freed_memory()
            torch.cuda.empty_cache()
    # the other end closed, or the machine has no memory for this way: the row says so
    except (EOFError, KeyboardInterrupt, MemoryError):
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _timed(step: Callable[[], None], device: torch.device) -> float:
    start = clock(device)
    step()
    return clock(device) - start


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0  # the module below is of Unix
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, kilobytes on Linux
