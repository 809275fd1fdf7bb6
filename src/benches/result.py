"""Writes the result of a bench: one table, result.json, and the ratio as the last line."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console

from src.benches.timing import Measured
from src.runtime.provenance import commit, is_dirty
from src.runtime.result import Result, write_result

CPU_INFO = Path("/proc/cpuinfo")
"""Linux alone has it."""
WIDTH = 120
"""Columns that a table may take, where a terminal's width would cut numbers off."""


@dataclass(frozen=True, kw_only=True)
class BenchResult(Result):
    """A speed measured beside the plain way in the same run."""

    command: ClassVar[str] = "bench"
    bench: str
    ratio: float
    """Of the plain way's time to ours: above 1 ours is faster."""
    figures: dict[str, Any]
    """Measurements of the bench, as its module lays them out."""
    threads: int
    torch: str
    python: str
    dirty: bool
    """Whether the code differed from the commit."""
    date: str
    settings: dict[str, Any]
    """The command's whole configuration."""


def write_results(folder: Path, bench: str, settings: dict[str, Any], device: torch.device, measured: Measured) -> None:
    """Write result.json with the settings of the run, print the table, then `ratio 5.31` as the last line."""
    figures, ratio = measured.figures, measured.ratio
    write_result(
        folder, BenchResult(bench=bench, ratio=ratio, figures=figures, settings=settings, **circumstances(device))
    )
    Console(width=WIDTH).print(measured.table)
    print(f"ratio {measured.ratio:#.3g}", flush=True)


def circumstances(device: torch.device) -> dict[str, Any]:
    """Machine, versions and commit: all that times depend on beside the settings."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
        "dirty": is_dirty(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    """The GPU's or CPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"cpu: {models[0] if models else platform.processor() or platform.machine()}"
