"""How long an image takes, alone and on one thread: onnxruntime beside torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from src.standalone.exporting.onnx import entrance, session
from src.standalone.network import Network

ROUNDS, SECONDS = 5, 0.4
"""Rounds that the two take in turn, and how long one measures in each at least."""
Reader = Callable[[Tensor], Tensor]


@torch.inference_mode()
def compare_speed(network: Network, folder: Path, normalise: bool) -> dict[str, float]:
    """Milliseconds an image (medians of the rounds), and torch / onnxruntime: above 1 onnxruntime is faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        net, image = entrance(network, normalise)
        ways: dict[str, Reader] = {"torch": net, "onnxruntime": session(folder)}
        rounds = [{name: _milliseconds(way, image) for name, way in ways.items()} for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(before)
    torch_ms, runtime_ms = (statistics.median(one[name] for one in rounds) for name in ways)
    return {"torch_ms": torch_ms, "onnxruntime_ms": runtime_ms, "ratio": torch_ms / runtime_ms}


def _milliseconds(way: Reader, image: Tensor) -> float:
    """The mean over SECONDS, after one call that does not count."""
    way(image)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        way(image)
        count += 1
    return 1000 * (time.perf_counter() - started) / count
