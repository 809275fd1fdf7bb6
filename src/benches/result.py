"""Writes the result of a bench: one table, result.json, and the ratio as the last line."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from src.benches.timing import Measured
from src.runtime.provenance import commit, is_dirty
from src.runtime.run_folder import RESULT, write_json

CPU_INFO = Path("/proc/cpuinfo")
"""Linux alone has it."""
WIDTH = 120
"""Columns that a table may take, where a terminal's width would cut numbers off."""


def write_results(folder: Path, bench: str, settings: dict[str, Any], device: torch.device, measured: Measured) -> None:
    """Write result.json with the settings of the run, print the table, then `ratio 5.31` as the last line."""
    result = {"command": "bench", "bench": bench, "ratio": measured.ratio, **measured.figures}
    write_json(folder / RESULT, result | circumstances(device) | {"settings": settings})
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
