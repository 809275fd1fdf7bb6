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
"""Seconds between two polls of the processes."""
GRACE = 30.0
"""Seconds for the other processes to end after one has failed; then they are killed."""


def cores() -> int:
    """Processor cores this process may use; where the system does not say, all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_one_of_several() -> bool:
    """True in a process that was started as one of several, here or by torchrun or SLURM."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1


def is_first() -> bool:
    """True in the process of rank 0, which prints and writes for all."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0


def run_on_devices(module: str, arguments: Sequence[str], devices: int) -> None:
    """Run `python -m module arguments` in `devices` processes and wait for all.

    A signal reaches all of them. CPU threads are divided among them, unless OMP_NUM_THREADS says how many each gets.

    Raises:
        ProcessFailedError: one of them failed, which the others do not survive; its exit code is in it.
    """
    # the variables of torchrun, which torch.distributed reads
    threads = os.environ.get("OMP_NUM_THREADS", str(max(cores() // devices, 1)))
    # port 0 lets the kernel choose; another process could take it before the first rank does, which is rare
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices)}
    common |= {"OMP_NUM_THREADS": threads, "NODE_RANK": "0"}
    command = [sys.executable, "-m", module, *arguments]
    processes = [
        subprocess.Popen(command, env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(devices)
    ]
    with forward_signals(processes):
        code = wait(processes)
    if code:
        raise ProcessFailedError(code)


def wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait for all processes; returns the first exit code that is not 0, or 0. A signal's is 128 + its number."""
    while all(process.poll() in (None, 0) for process in processes):
        if all(process.poll() == 0 for process in processes):
            return 0
        time.sleep(PAUSE)

    # the others now wait in an all-reduce that the failed one will not join: they end by its time-out, or are killed
    code = next(code for process in processes if (code := process.poll()))
    end = time.monotonic() + GRACE
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(PAUSE)
    for process in processes:
        process.kill()
        process.wait()
    return code if code > 0 else 128 - code


@contextmanager
def forward_signals(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Within the block SIGTERM is sent on to all processes, and SIGINT does not end this one."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    # a terminal sends Ctrl-C to the whole process group, so the processes have it already: only wait for them
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
