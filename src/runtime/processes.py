"""One process for each device of this machine, unless torchrun, SLURM or the like have started them already."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from src.runtime.errors import ProcessFailedError

PAUSE = 0.1
"""Seconds between two looks at the processes."""
GRACE = 30.0
"""Seconds that the others get to end after one has failed."""


def is_one_of_several() -> bool:
    """Whether this process was started as one of several."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1


def is_first() -> bool:
    """Whether it is the one that speaks for all."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0


def run_on_devices(module: str, arguments: Sequence[str], devices: int) -> None:
    """Run `python -m module arguments` in `devices` processes and wait for all.

    A signal reaches all of them. CPU threads are divided among them, unless OMP_NUM_THREADS says how many each gets.

    Raises:
        ProcessFailedError: one of them failed, which the others do not survive; its exit code is in it.
    """
    threads = os.environ.get("OMP_NUM_THREADS", str(max(len(os.sched_getaffinity(0)) // devices, 1)))
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(devices)}
    common |= {"OMP_NUM_THREADS": threads, "NODE_RANK": "0"}
    command = [sys.executable, "-m", module, *arguments]
    processes = [
        subprocess.Popen(command, env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(devices)
    ]
    with _passing_signals_on(processes):
        code = _wait(processes)
    if code:
        raise ProcessFailedError(code)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """The first exit code that is not 0, or 0."""
    while all(process.poll() in (None, 0) for process in processes):
        if all(process.poll() == 0 for process in processes):
            return 0
        time.sleep(PAUSE)
    code = next(code for process in processes if (code := process.poll()))
    end = time.monotonic() + GRACE
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(PAUSE)
    for process in processes:
        process.kill()
        process.wait()
    return code if code > 0 else 128 - code


@contextmanager
def _passing_signals_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """SIGTERM goes to all; Ctrl-C reaches them by itself, and here only means to wait for them."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
