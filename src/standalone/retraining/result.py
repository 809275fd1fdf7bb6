"""The end of a retraining: its weights as a file, its accuracies, result.json and a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from src.analysis.report.network_drawing import save_drawing
from src.datasets.preprocessing import described
from src.runtime.checkpoint import write_safetensors, write_tensors
from src.runtime.loggers import artifact_of, log_picture, log_results
from src.runtime.result import figures_table, write_result
from src.runtime.result_schemas import RetrainResult
from src.runtime.run_folder import CONFIG, PROVENANCE, RESULT, replace_file
from src.standalone.model_card import CARD, model_card
from src.standalone.network import SAFETENSORS, WEIGHTS, network_name
from src.standalone.retraining.metrics import accuracy_of
from src.standalone.retraining.run import StandaloneRun
from src.supernet.path import format_path


def train_one(run: StandaloneRun, shown: bool = True) -> None:
    """Train the network, unless that is done; a run that was begun is resumed."""
    if run.is_finished():
        run.show_finished()
        return
    try:
        run.begin()
        run.train()
        result = finish(run)
        if shown:
            show(run, result)
    finally:
        run.close()


def finish(run: StandaloneRun) -> RetrainResult:
    """Write the weights, a model card and result.json. The test part is used here, and nowhere before."""
    cfg, dataset, module = run.cfg, run.dataset, run.module
    module.to(run.device)
    store_weights(module.final, run.folder)
    provenance = json.loads((run.folder / PROVENANCE).read_text())
    costs = run.space.costs(run.path, dataset.input_spec)
    result = RetrainResult(
        # The network.
        arch=run.space.format(run.path),
        path=format_path(run.path),
        search_space=cfg.choices.search_space,
        params=costs.params,
        macs=costs.macs,
        # What its users must know of the data.
        dataset=dataset.name,
        input=dataset.input_spec._asdict(),
        mean=list(dataset.mean),
        std=list(dataset.std),
        classes=list(dataset.classes),
        preprocessing=described(dataset.preprocessing),
        read=dataset.summary(),
        # The training, and what it cost.
        recipe=cfg.choices.recipe,
        weights=cfg.weights,
        run=cfg.run,
        ema=cfg.recipe.ema,
        drop_path_blocks=len(module.drop_paths),
        seed=cfg.seed,
        steps=module.steps,
        epochs=round(run.budget.epochs, 4),
        backward_passes=module.meters.backward_passes,
        batch_size=run.batch_size,
        wall_seconds=round(module.stopwatch.seconds(), 2),
        commit=provenance["commit"],
        device=provenance["device"],
        # What it reaches.
        val_accuracy=accuracy_of(module.final, dataset, module, "val"),
        test_accuracy=accuracy_of(module.final, dataset, module, "test"),
        raw_val_accuracy=None if module.ema is None else accuracy_of(module.net, dataset, module),
        val_images=dataset.size("val"),
        test_images=dataset.size("test"),
    )
    write_card(run, asdict(result))
    draw(run)
    write_result(run.folder, result)
    log(run, result)
    return result


def draw(run: StandaloneRun) -> None:
    """figures/network.png and .svg, to the loggers too."""
    picture = run.space.picture(run.path, run.dataset.input_spec)
    if picture is not None:
        title = f"{run.space.name}: {run.space.format(run.path)}"
        drawn, _ = save_drawing(title, picture, run.folder / "figures" / "network")
        log_picture(run.trainer.loggers, "final/network", drawn)


def log(run: StandaloneRun, result: RetrainResult) -> None:
    """Hand the accuracies and the network to the loggers, made from the supernet and the search that chose it."""
    for logger in run.trainer.loggers:
        names = ("val_accuracy", "test_accuracy", "raw_val_accuracy")
        accuracies = {f"final/{name}": getattr(result, name) for name in names}
        logger.log_metrics({name: v for name, v in accuracies.items() if v is not None}, step=run.module.steps)
    source = str(run.cfg.arch)
    chosen_in = Path(source).parent if source.endswith(".csv") else None
    made_from = artifact_of("supernet", run.cfg.run) + artifact_of("archive", chosen_in)
    files = [run.folder / name for name in (CONFIG, WEIGHTS, SAFETENSORS, CARD, RESULT)]
    log_results(run.trainer.loggers, "network", files, made_from)


def write_card(run: StandaloneRun, record: dict[str, Any]) -> None:
    """README.md of the run folder: the network for those who find it there."""
    facts = record | {"weights": f"{WEIGHTS} beside this card, and the same as {SAFETENSORS}"}
    replace_file(run.folder / CARD, model_card(network_name(run.space, run.path), facts, record))


def store_weights(net: nn.Module, folder: Path) -> None:
    """Store a state_dict on the CPU, in torch's own memory format and as safetensors, whole or as they were before."""
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    write_tensors(state, folder / WEIGHTS)
    write_safetensors(state, folder / SAFETENSORS)


def show(run: StandaloneRun, result: RetrainResult) -> None:
    """Print one table: which network, what it cost, what it reaches."""
    averaged = "" if result.ema is None else " (moving average)"
    rows = [
        ("parameters", f"{result.params:,}"),
        ("multiply-adds", f"{result.macs:,}"),
        ("steps", f"{result.steps:,}"),
        ("seconds", f"{result.wall_seconds:,.1f}"),
        (f"validation accuracy{averaged}, %", f"{100 * result.val_accuracy:.1f}"),
    ]
    if result.raw_val_accuracy is not None:
        rows.append(("validation accuracy (weights as they are), %", f"{100 * result.raw_val_accuracy:.1f}"))
    rows.append((f"*test accuracy{averaged}, %", f"{100 * result.test_accuracy:.1f}"))
    title = f"{result.arch} of {run.space.name} / {run.dataset.name}, seed {result.seed}"
    Console().print(figures_table(title, rows))
    print(f"run folder: {run.folder}")
