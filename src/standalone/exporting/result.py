"""An export on the terminal: what was written, what it costs, and how well the files agree with the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = {"module": "model.py", "onnx": "onnxruntime"}


def show(result: dict[str, Any], out: Path) -> None:
    """One table, then where the weights come from and where the files are."""
    table = Table(title=f"{result['name']} of {result['search_space']}")
    table.add_column("figure")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_row("parameters", f"{result['params']:,}")
    table.add_row("multiply-adds", f"{result['macs']:,}")
    for file, size in result["files"].items():
        table.add_row(f"{file}, kB", f"{size / 1000:,.1f}")
    for kind, found in result["differences"].items():
        table.add_row(f"largest logit on {kind} images", f"{found['largest logit']:.2g}")
        for name in result["write_seconds"]:
            difference = f"{found[name]:.1e}" if found[name] else "0"
            table.add_row(f"  largest difference, torch against {NAMES[name]}", difference)
    for name, seconds in result["write_seconds"].items():
        table.add_row(f"seconds to write {'model.onnx' if name == 'onnx' else 'model.py'}", f"{seconds:.1f}")
    if result["speed"]:
        table.add_row("torch, ms an image, 1 thread", f"{result['speed']['torch_ms']:.2f}")
        table.add_row("onnxruntime, ms an image, 1 thread", f"{result['speed']['onnxruntime_ms']:.2f}")
        table.add_row("torch / onnxruntime", f"{result['speed']['ratio']:.2f}", style="bold")
    Console().print(table)
    print(f"weights: {result['weights']}")
    print(f"files: {out}")
