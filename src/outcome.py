"""What a trained supernet is worth: its paths scored, ranked against the truth, and summed up in result.json."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from src.analysis.figures import histogram, save
from src.analysis.ranking import split_half, summary
from src.assembly import Run
from src.benchmarks.benchmark import Benchmark
from src.evaluator import Evaluator
from src.progress import progress
from src.run_folder import PROVENANCE, RESULT, SCORE_COLUMNS, SCORES, append_rows, replace_file, write_json
from src.search_spaces.space import Input
from src.supernet.path import format_path, parse_path


def conclude(run: Run) -> dict[str, Any]:
    """Score paths, write scores.csv, figures and result.json, and show one table. A killed scoring goes on."""
    started = time.monotonic()
    run.module.to(run.device)
    for protocol in _protocols(run):
        _score(run, protocol)
    scores = pd.read_csv(run.folder / SCORES, dtype={"arch": str, "path": str})
    result = _result(run, scores) | {"scoring_seconds": round(time.monotonic() - started, 1)}
    _figures(run, scores)
    _log(run, result)
    write_json(run.folder / RESULT, result)
    show(run, result)
    return result


def _protocols(run: Run) -> list[str]:
    chosen = run.cfg.ranking.bn
    return [chosen] if isinstance(chosen, str) else list(chosen)


def _score(run: Run, protocol: str) -> None:
    """Append one row per path to scores.csv as they come, but for those that are there already."""
    cfg = run.cfg.ranking
    settings = {key: cfg[key] for key in ("images", "calibration_images", "batch_size")}
    evaluator = Evaluator(run.module.net, run.dataset, run.device, protocol, **settings)
    truth = run.benchmark.accuracies() if run.benchmark else {}
    known = _scored(run.folder / SCORES, protocol)
    paths = [path for path in run.paths if format_path(path) not in known]
    given = Input(run.dataset.in_channels, run.dataset.num_classes, run.dataset.image_size)
    with progress(f"score ({protocol})", "path", len(known) + len(paths), len(known)) as bar:
        for path, score in evaluator.scores(paths):
            arch, costs = run.space.format(path), run.space.costs(path, given)
            row = {"path": format_path(path), "arch": arch, **score._asdict(), **costs._asdict()}
            row |= {"truth": truth.get(arch), "supernet": run.folder.name, "sampler": run.cfg.choices.sampler}
            row |= {"seed": run.cfg.seed, "bn": protocol, "split": "val", "images": evaluator.images}
            append_rows(run.folder / SCORES, SCORE_COLUMNS, [row])
            bar.update()


def _scored(path: Path, protocol: str) -> set[str]:
    """Paths whose row is already in scores.csv; a last line that a kill left half written is dropped."""
    if not path.exists():
        return set()
    text = path.read_text()
    if not text.endswith("\n"):
        replace_file(path, text[: text.rfind("\n") + 1])
    with path.open(newline="") as file:
        return {row["path"] for row in csv.DictReader(file) if row["bn"] == protocol}


def _result(run: Run, scores: pd.DataFrame) -> dict[str, Any]:
    """The figures of the run, as result.json keeps them."""
    provenance = json.loads((run.folder / PROVENANCE).read_text())
    choices, budget = run.cfg.choices, run.budget
    result: dict[str, Any] = {
        "command": "train",
        **{key: choices[key] for key in ("sampler", "search_space")},
    }
    result |= {"dataset": run.dataset.name}
    result |= {"seed": run.cfg.seed, "commit": provenance["commit"], "device": provenance["device"]}
    result |= {"steps": run.module.steps, "epochs": round(budget.epochs, 4)}
    result |= {"backward_passes": run.module.means.backward_passes, "budget": dict(run.cfg.budget)}
    result |= {"wall_seconds": round(run.module.stopwatch.seconds(), 2), "count_spread": run.module.counts.spread()}
    tables = {protocol: scores[scores.bn == protocol] for protocol in _protocols(run)}
    result["scores"] = {protocol: _spread(table) for protocol, table in tables.items()}
    if run.benchmark is not None:
        result["ranking"] = {protocol: _ranking(run, table) for protocol, table in tables.items()}
        result["ceiling"] = _ceiling(run.benchmark, tables[_protocols(run)[0]].arch.tolist())
    return result


def _spread(table: pd.DataFrame) -> dict[str, float]:
    accuracy = table.accuracy
    found = {"mean": accuracy.mean(), "std": accuracy.std(ddof=0), "min": accuracy.min(), "max": accuracy.max()}
    return {f"accuracy_{name}": float(value) for name, value in found.items()} | {"paths": len(table)}


def _ranking(run: Run, table: pd.DataFrame) -> dict[str, Any]:
    """Tau with its interval, beside what counting alone reaches on the same paths."""
    working = [len(run.space.sizes) - run.space.skips(parse_path(path)) for path in table.path]
    baselines: dict[str, Any] = {"params": table.params, "macs": table.macs, "working_layers": working}
    return summary(table.accuracy, table.truth, baselines)


def _ceiling(benchmark: Benchmark, archs: list[str]) -> float | None:
    """Mean tau between halves of the benchmark's own runs of these networks; None where single runs are unknown."""
    runs = benchmark.runs()
    table = [runs[arch] for arch in archs if arch in runs]
    return split_half(table) if table and len(table[0]) > 1 else None


def _figures(run: Run, scores: pd.DataFrame) -> None:
    """A histogram of one-shot accuracies per protocol, as a file and as W&B media."""
    for protocol in _protocols(run):
        title = f"{run.cfg.choices.sampler} on {run.space.name}, BN {protocol}"
        path = run.folder / "figures" / f"histogram_{protocol}.png"
        save(histogram(scores[scores.bn == protocol].accuracy, title), path)
        for logger in run.trainer.loggers:
            logger.log_image(f"rank/histogram_{protocol}", [str(path)])  # type: ignore[attr-defined]


def _log(run: Run, result: dict[str, Any]) -> None:
    """The final figures to the loggers, in the sections rank/ and fairness/."""
    figures = {"fairness/final_count_spread": float(result["count_spread"])}
    for protocol, ranking in result.get("ranking", {}).items():
        figures |= {
            f"rank/tau_{protocol}": ranking["tau"]["value"],
            f"rank/spearman_{protocol}": ranking["spearman"]["value"],
        }
    for logger in run.trainer.loggers:
        logger.log_metrics({key: value for key, value in figures.items() if value is not None}, step=run.module.steps)


def show(run: Run, result: dict[str, Any]) -> None:
    """One table: what the run cost and what its ranking is worth."""
    table = Table(title=f"{result['sampler']} on {run.space.name} / {run.dataset.name}, seed {result['seed']}")
    for column, justify in (("figure", "left"), ("value", "right"), ("95 % interval", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_row("supernet steps", f"{result['steps']:,}", "")
    table.add_row("backward passes", f"{result['backward_passes']:,}", "")
    table.add_row("count spread per choice", str(result["count_spread"]), "")
    for protocol, spread in result["scores"].items():
        found = f"{100 * spread['accuracy_min']:.1f} to {100 * spread['accuracy_max']:.1f}"
        name = f"one-shot accuracy of {spread['paths']} paths, % ({protocol})"
        table.add_row(name, f"{100 * spread['accuracy_mean']:.1f}", f"range {found}")
    for protocol, ranking in result.get("ranking", {}).items():
        table.add_row(f"Kendall's tau ({protocol})", *_cells(ranking["tau"]), style="bold")
    for name, estimate in next(iter(result.get("ranking", {}).values()), {"baselines": {}})["baselines"].items():
        table.add_row(f"  by counting {name.replace('_', ' ')}", *_cells(estimate))
    if result.get("ceiling") is not None:
        table.add_row("  ceiling: truth against truth", f"{result['ceiling']:.3f}", "")
    Console().print(table)
    print(f"run folder: {run.folder}")


def _cells(estimate: dict[str, float | None]) -> tuple[str, str]:
    if estimate["value"] is None:
        return "undefined", ""
    return f"{estimate['value']:.3f}", f"{estimate['low']:.3f} to {estimate['high']:.3f}"
