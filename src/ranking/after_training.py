"""What a trained supernet is worth: its paths scored, ranked against the truth, and summed up in result.json."""

from __future__ import annotations

import json
import time
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from src.analysis.ranking import summary
from src.analysis.report.figures import histogram, save
from src.benchmarks.join import spellings
from src.ranking.ceiling import noise_ceiling
from src.ranking.score_table import ScoringProcesses
from src.runtime.run_folder import PROVENANCE, RESULT, SCORES, write_json
from src.supernet.evaluator import Evaluator, Score, ScoringSettings
from src.supernet.path import ArchPath, parse_path
from src.training.build import SupernetRun, ranked_protocols


def conclude(run: SupernetRun) -> None:
    """Score paths, write scores.csv, figures and result.json, and show one table. A killed scoring goes on."""
    started = time.monotonic()
    run.module.to(run.device)
    ranks = ScoringProcesses()
    for protocol in ranked_protocols(run.cfg):
        _score(run, protocol, ranks)
    if ranks.rank > 0:
        return
    scores = pd.read_csv(run.folder / SCORES, dtype={"arch": str, "path": str})
    result = _result(run, scores) | {"scoring_seconds": round(time.monotonic() - started, 1)}
    _figures(run, scores)
    _log(run, result)
    write_json(run.folder / RESULT, result)
    show(run, result)


def _score(run: SupernetRun, protocol: str, ranks: ScoringProcesses) -> None:
    """Append one row per path to scores.csv as they come, but for those that are there already."""
    cfg = run.cfg.ranking
    settings = {key: cfg[key] for key in ("images", "calibration_images", "batch_size")}
    evaluator = Evaluator(run.module.net, run.dataset, run.device, protocol, ScoringSettings(**settings))
    known = run.benchmark.accuracies() if run.benchmark else {}
    truth = {name: known[arch] for name, arch in spellings(run.space, known).items()}
    input_spec = run.dataset.input_spec
    common = {"supernet": run.folder.name, "sampler": run.cfg.choices.sampler, "seed": run.cfg.seed}
    common |= {"split": "val", "images": evaluator.images}

    def row(path: ArchPath, score: Score) -> dict[str, Any]:
        arch, costs = run.space.format(path), run.space.costs(path, input_spec)
        return {"arch": arch, **score._asdict(), **costs._asdict(), "truth": truth.get(arch), **common}

    ranks.append_scores(run.folder / SCORES, evaluator, run.paths, row)


def _result(run: SupernetRun, scores: pd.DataFrame) -> dict[str, Any]:
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
    result |= {"way": run.module.settings.way}
    result |= {"backward_passes": run.module.meters.backward_passes, "budget": dict(run.cfg.budget)}
    result |= {"wall_seconds": round(run.module.stopwatch.seconds(), 2), "count_spread": run.module.counts.spread()}
    tables = {protocol: scores[scores.bn == protocol] for protocol in ranked_protocols(run.cfg)}
    result["scores"] = {protocol: _spread(table) for protocol, table in tables.items()}
    if run.benchmark is not None:
        result["ranking"] = {protocol: _ranking(run, table) for protocol, table in tables.items()}
        ceiling = noise_ceiling(run.benchmark, tables[ranked_protocols(run.cfg)[0]].arch.tolist())
        result["ceiling"] = ceiling.value if ceiling else None
    return result


def _spread(table: pd.DataFrame) -> dict[str, float]:
    accuracy = table.accuracy
    found = {"mean": accuracy.mean(), "std": accuracy.std(ddof=0), "min": accuracy.min(), "max": accuracy.max()}
    return {f"accuracy_{name}": float(value) for name, value in found.items()} | {"paths": len(table)}


def _ranking(run: SupernetRun, table: pd.DataFrame) -> dict[str, Any]:
    """Tau with its interval, beside what counting alone reaches on the same paths."""
    counts = pd.DataFrame([run.space.counts(parse_path(path)) for path in table.path])
    baselines: dict[str, Any] = {"params": table.params, "macs": table.macs, **counts}
    return summary(table.accuracy, table.truth, baselines)


def _figures(run: SupernetRun, scores: pd.DataFrame) -> None:
    """A histogram of one-shot accuracies per protocol, as a file and as W&B media."""
    for protocol in ranked_protocols(run.cfg):
        title = f"{run.cfg.choices.sampler} on {run.space.name}, BN {protocol}"
        path = run.folder / "figures" / f"histogram_{protocol}.png"
        save(histogram(scores[scores.bn == protocol].accuracy, title), path)
        for logger in run.trainer.loggers:
            logger.log_image(f"rank/histogram_{protocol}", [str(path)])  # type: ignore[attr-defined]


def _log(run: SupernetRun, result: dict[str, Any]) -> None:
    """The final figures to the loggers, in the sections rank/ and fairness/."""
    figures = {"fairness/final_count_spread": float(result["count_spread"])}
    for protocol, ranking in result.get("ranking", {}).items():
        figures |= {
            f"rank/tau_{protocol}": ranking["tau"]["value"],
            f"rank/spearman_{protocol}": ranking["spearman"]["value"],
        }
    for logger in run.trainer.loggers:
        logger.log_metrics({key: value for key, value in figures.items() if value is not None}, step=run.module.steps)


def show(run: SupernetRun, result: dict[str, Any]) -> None:
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
