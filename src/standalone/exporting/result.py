"""The result of an export on the terminal: files, costs, and their agreement with the network."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from src.runtime.result import figures_table
from src.runtime.result_schemas import ExportResult

NAMES = {"module": "model.py", "onnx": "onnxruntime"}


def show(result: ExportResult, out: Path) -> None:
    """Print one table, then where the weights come from and where the files are."""
    rows = [("parameters", f"{result.params:,}"), ("multiply-adds", f"{result.macs:,}")]
    rows += [(f"{file}, kB", f"{size / 1000:,.1f}") for file, size in result.files.items()]
    # the exported programs against torch, beside the size of what is compared
    for kind, differences in result.differences.items():
        rows.append((f"largest logit on {kind} images", f"{differences['largest logit']:.2g}"))
        for name in result.write_seconds:
            difference = f"{differences[name]:.1e}" if differences[name] else "0"
            rows.append((f"  largest difference, torch against {NAMES[name]}", difference))
    for name, seconds in result.write_seconds.items():
        rows.append((f"seconds to write {'model.onnx' if name == 'onnx' else 'model.py'}", f"{seconds:.1f}"))
    if result.speed:
        rows += [
            ("torch, ms an image, 1 thread", f"{result.speed['torch_ms']:.2f}"),
            ("onnxruntime, ms an image, 1 thread", f"{result.speed['onnxruntime_ms']:.2f}"),
            ("*torch / onnxruntime", f"{result.speed['ratio']:.2f}"),
        ]
    Console().print(figures_table(f"{result.name} of {result.search_space}", rows))
    print(f"weights: {result.weights}")
    print(f"files: {out}")
