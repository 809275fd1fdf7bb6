"""Latency of one image on one thread: onnxruntime beside torch.

C channels, H W size.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from src.standalone.exporting.onnx import graph_to_export, session
from src.standalone.network import Network

ROUNDS, SECONDS = 5, 0.4
"""Rounds in which the two take turns, and the least time that one is measured for in each."""
Runner = Callable[[Tensor], Tensor]


@torch.inference_mode()
def compare_speed(network: Network, folder: Path, normalise: bool) -> dict[str, float]:
    """Milliseconds an image (medians of the rounds), and torch / onnxruntime: above 1 onnxruntime is faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        net, image = graph_to_export(network, normalise)
        runners: dict[str, Runner] = {"torch": net, "onnxruntime": session(folder)}
        # In turn, so that a machine that slows down meanwhile slows both.
        rounds = [{name: milliseconds(run, image) for name, run in runners.items()} for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    torch_ms, runtime_ms = (statistics.median(one[name] for one in rounds) for name in runners)
    return {"torch_ms": torch_ms, "onnxruntime_ms": runtime_ms, "ratio": torch_ms / runtime_ms}


def milliseconds(run: Runner, image: Tensor) -> float:
    """Mean time of a call on an image (1, C, H, W) over SECONDS, after one call that does not count."""
    run(image)
    # At least SECONDS, so that slow and quick networks are measured equally well.
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        run(image)
        count += 1
    return 1000 * (time.perf_counter() - started) / count
