"""What a stand-alone network came to: its weights as a file, its accuracies, and result.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from src.runtime.run_folder import PROVENANCE, RESULT, write_json
from src.standalone.network import WEIGHTS
from src.standalone.retraining.build import Run
from src.standalone.retraining.metrics_writer import validated
from src.supernet.path import format_path


def conclude(run: Run) -> dict[str, Any]:
    """Write weights.pt and result.json. The test part is used here, and nowhere before."""
    run.module.to(run.device)
    store_weights(run.module.final, run.folder / WEIGHTS)
    result = _facts(run) | _accuracies(run)
    for logger in run.trainer.loggers:
        found = {f"final/{key}": value for key, value in result.items() if key.endswith("accuracy")}
        logger.log_metrics(found, step=run.module.steps)
    write_json(run.folder / RESULT, result)
    return result


def store_weights(net: nn.Module, path: Path) -> None:
    """A state_dict on the CPU, in torch's own memory format; a reader finds the old file or the new."""
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _accuracies(run: Run) -> dict[str, Any]:
    module, dataset = run.module, run.dataset
    found = {f"{part}_accuracy": validated(module.final, dataset, module, part) for part in ("val", "test")}
    if module.ema is not None:
        found["raw_val_accuracy"] = validated(module.net, dataset, module)
    return found


def _facts(run: Run) -> dict[str, Any]:
    """All that a user of the weights needs to know, and what they cost."""
    cfg, dataset, module = run.cfg, run.dataset, run.module
    provenance = json.loads((run.folder / PROVENANCE).read_text())
    return {
        "command": "retrain",
        "arch": run.space.format(run.path),
        "path": format_path(run.path),
        "search_space": cfg.choices.search_space,
        "dataset": dataset.name,
        "input": run.input_spec._asdict(),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "classes": list(dataset.classes),
        **run.space.costs(run.path, run.input_spec)._asdict(),
        "recipe": cfg.choices.recipe,
        "weights": cfg.weights,
        "run": cfg.run,
        "ema": cfg.recipe.ema,
        "drop_path_blocks": len(module.drop_paths),
        "seed": cfg.seed,
        "steps": module.steps,
        "epochs": round(run.budget.epochs, 4),
        "backward_passes": module.means.backward_passes,
        "batch_size": cfg.batch_size,
        "wall_seconds": round(module.stopwatch.seconds(), 2),
        "commit": provenance["commit"],
        "device": provenance["device"],
    }


def show(run: Run, result: dict[str, Any]) -> None:
    """One table: which network, what it cost, what it reaches."""
    table = Table(title=f"{result['arch']} of {run.space.name} / {run.dataset.name}, seed {result['seed']}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("parameters", f"{result['params']:,}")
    table.add_row("multiply-adds", f"{result['macs']:,}")
    table.add_row("steps", f"{result['steps']:,}")
    table.add_row("seconds", f"{result['wall_seconds']:,.1f}")
    averaged = "" if run.module.ema is None else " (moving average)"
    table.add_row(f"validation accuracy{averaged}, %", f"{100 * result['val_accuracy']:.1f}")
    if "raw_val_accuracy" in result:
        table.add_row("validation accuracy (weights as they are), %", f"{100 * result['raw_val_accuracy']:.1f}")
    table.add_row(f"test accuracy{averaged}, %", f"{100 * result['test_accuracy']:.1f}", style="bold")
    Console().print(table)
    print(f"run folder: {run.folder}")
