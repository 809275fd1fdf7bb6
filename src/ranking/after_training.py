"""The end of a training run: its paths scored, ranked against the benchmark, and summed up in result.json."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from rich.console import Console

from src.analysis.report.figures import histogram
from src.analysis.report.png import save
from src.benchmarks.join import spellings
from src.datasets.preprocessing import described
from src.ranking.comparison import Comparison
from src.ranking.config_checks import SCORING
from src.ranking.ranking_table import show
from src.ranking.score_table import ScoringProcesses, score_row
from src.ranking.summed_up import sum_up
from src.runtime.elite_space import ELITE_SPACE
from src.runtime.errors import UsageError
from src.runtime.launch import command_line
from src.runtime.loggers import artifact_of, log_picture, log_results
from src.runtime.result import figures_table, write_result
from src.runtime.result_schemas import TrainResult
from src.runtime.run_folder import CONFIG, PROVENANCE, RESULT, SCORES, replace_file
from src.runtime.stored_run import checkpoint_path
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.training.build import SupernetRun, ranked_protocols

DECIDED = 0.9
"""Probability of the likeliest range from which on a decision of a network space search is made."""


def rank_after_training(run: SupernetRun) -> None:
    """Score paths, write scores.csv, figures and result.json, and print the tables; a killed scoring is resumed."""
    started = time.monotonic()
    run.module.to(run.device)
    processes, protocols = ScoringProcesses(), ranked_protocols(run.cfg)
    blocks = sum(score(run, protocol, processes) for protocol in protocols)
    if processes.rank > 0:
        return

    # The ranking, as `rank` makes it too; a benchmark that knows none of the paths ranks nothing.
    scores = pd.read_csv(run.folder / SCORES, dtype={"arch": str, "path": str})
    tables = {protocol: scores[scores.bn == protocol] for protocol in protocols}
    comparison = None
    if run.benchmark is not None:
        try:
            archs = list(dict.fromkeys(scores.arch))
            comparison = Comparison(run.space, run.benchmark, archs, run.dataset.input_spec)
        except UsageError as error:
            print(f"not ranked: {error}")
    by = run.cfg.ranking.by
    common = sum_up(comparison, tables, by, run.cfg.ranking.seed, with_subsets=False)

    provenance = json.loads((run.folder / PROVENANCE).read_text())
    result = TrainResult(
        sampler=run.cfg.choices.sampler,
        search_space=run.cfg.choices.search_space,
        dataset=run.dataset.name,
        seed=run.cfg.seed,
        commit=provenance["commit"],
        device=provenance["device"],
        steps=run.module.steps,
        epochs=round(run.module.steps / run.budget.epoch_steps, 4),
        way=run.module.settings.way,
        backward_passes=run.module.meters.backward_passes,
        budget=dict(run.cfg.budget),
        preprocessing=described(run.dataset.preprocessing),
        read=run.dataset.summary(),
        wall_seconds=round(run.module.stopwatch.seconds(), 2),
        count_spread=run.module.counts.spread(),
        parameter_free_share=run.module.counts.parameter_free_share(run.module.net),
        scoring={key: run.cfg.ranking[key] for key in SCORING},
        scoring_seconds=round(time.monotonic() - started, 1),
        block_evaluations=blocks,
        figures=draw_histograms(run, tables),
        **common,
    )
    log(run, result)
    write_elite_space(run)
    write_result(run.folder, result)
    log_files_and_show(run, result)


def write_elite_space(run: SupernetRun) -> None:
    """elite_space.yaml, if the run searched network spaces."""
    space = run.module.sampler.elite_space()
    if space is not None:
        replace_file(run.folder / ELITE_SPACE, OmegaConf.to_yaml(OmegaConf.create(space)))
        undecided = [p for p in space["probabilities"] if p < DECIDED]
        if undecided:
            least = f"the likeliest range of one has {min(undecided):.2f}"
            print(f"warning: {len(undecided)} of {len(space['ranges'])} decisions are open: {least}; train longer")
        print(f"elite space: {run.folder / ELITE_SPACE}: {', '.join(space['ranges'])} (d1, w1, d2, w2, d3, w3)")


def score(run: SupernetRun, protocol: str, processes: ScoringProcesses) -> int:
    """Append one row per path to scores.csv as they come, unless it is there already; returns block evaluations."""
    ranking = run.cfg.ranking
    settings = ScoringSettings(**{key: ranking[key] for key in SCORING})
    evaluator = Evaluator(run.module.net, run.dataset, run.device, protocol, settings)
    known = run.benchmark.accuracies() if run.benchmark else {}
    truth = {name: known[arch] for name, arch in spellings(run.space, known).items()}
    common = {"supernet": run.folder.name, "sampler": run.cfg.choices.sampler, "seed": run.cfg.seed}
    common |= {"split": "val", "images": evaluator.images}

    row = score_row(run.space, run.dataset.input_spec, common, truth)
    with run.module.average.in_place():
        processes.append_scores(run.folder / SCORES, evaluator, run.paths, row)
    return evaluator.block_evaluations


def draw_histograms(run: SupernetRun, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A histogram of one-shot accuracies per BN protocol, as a file and as W&B media; returns the files."""
    files = []
    for protocol, table in tables.items():
        title = f"{run.cfg.choices.sampler} on {run.space.name}, BN {protocol}"
        path = save(histogram(table.accuracy, title), run.folder / "figures" / f"histogram_{protocol}.png")
        files.append(path.as_posix())
        log_picture(run.trainer.loggers, f"rank/histogram_{protocol}", path)
    return files


def log(run: SupernetRun, result: TrainResult) -> None:
    """The final figures to the loggers: tau by the score that ranks, and by each score."""
    metrics: dict[str, float | None] = {"fairness/final_count_spread": float(result.count_spread)}
    for protocol, by_score in result.ranking.items():
        for name, subsets in by_score.items():
            if "tau" not in subsets["all"]:
                continue
            tau, rho = (subsets["all"][key]["value"] for key in ("tau", "spearman"))
            metrics[f"rank/tau_{name}_{protocol}"] = tau
            if name == result.ranked_by:
                metrics |= {f"rank/tau_{protocol}": tau, f"rank/spearman_{protocol}": rho}
                # of the first protocol, as the main figure is
                metrics = beside(subsets["all"]) | metrics
    metrics["rank/ceiling"] = (result.ceiling.get("all") or {}).get("value")
    for logger in run.trainer.loggers:
        logger.log_metrics({key: value for key, value in metrics.items() if value is not None}, step=run.module.steps)


def beside(ranking: Mapping[str, Any]) -> dict[str, float | None]:
    """The tau of the best count, and what the ranking lies above it."""
    above = ranking.get("above_count") or {}
    best = ranking["baselines"].get(above.get("count"), {})
    return {"rank/count": best.get("value"), "rank/above_count": above.get("value")}


def log_files_and_show(run: SupernetRun, result: TrainResult) -> None:
    """Hand the supernet and the scores made from it to the loggers, and print the tables, a line instead in a sweep."""
    loggers, folder = run.trainer.loggers, run.folder
    log_results(loggers, "supernet", [folder / CONFIG, checkpoint_path(folder), folder / ELITE_SPACE])
    made_from = artifact_of("supernet", folder)
    log_results(loggers, "scores", [folder / SCORES, folder / RESULT], made_from, table=folder / SCORES)
    if command_line().is_sweep:
        print_line(run, result)
    else:
        print_tables(run, result)


def print_line(run: SupernetRun, result: TrainResult) -> None:
    """Print what a job of a sweep came to, under its first protocol; a report compares the jobs."""
    protocol, spread = next(iter(result.scores.items()))
    ranking = result.ranking.get(protocol, {}).get(result.ranked_by, {}).get("all", {})
    figures = [f"one-shot accuracy {100 * spread['accuracy_mean']:.1f} %, loss {spread['loss_mean']:.3f}"]
    if ranking.get("tau", {}).get("value") is not None:
        figures.append(f"tau by {result.ranked_by} {ranking['tau']['value']:.3f}")
    if (above := ranking.get("above_count")) and above["value"] is not None:
        figures.append(f"minus the best count {above['value']:+.3f} [{above['low']:.2f}, {above['high']:.2f}]")
    print(f"{'; '.join(figures)} (BN {protocol}): {run.folder}")


def print_tables(run: SupernetRun, result: TrainResult) -> None:
    """Print the run's cost and its paths' scores, then the ranking."""
    # what it cost
    rows: list[tuple[str, ...]] = [
        ("supernet steps", f"{result.steps:,}", ""),
        ("backward passes", f"{result.backward_passes:,}", ""),
        ("largest difference of update counts", str(result.count_spread), ""),
    ]
    # what its paths reach with the shared weights
    for protocol, spread in result.scores.items():
        for name, unit, factor in (("accuracy", ", %", 100), ("loss", ", nats", 1)):
            mean, low, high = (factor * spread[f"{name}_{part}"] for part in ("mean", "min", "max"))
            digits = 1 if name == "accuracy" else 3
            label = f"one-shot {name} of {spread['paths']} paths{unit} (BN {protocol})"
            rows.append((label, f"{mean:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"))
    title = f"{result.sampler} on {run.space.name} / {run.dataset.name}, seed {result.seed}"
    Console().print(figures_table(title, rows, ("figure", "value", "range")))
    # what that ranking is worth
    if result.ranking:
        show(
            f"{run.space.name} ranked by {result.ranked_by}, benchmark {result.benchmark}",
            result.ranking,
            result.ceiling,
            result.ranked_by,
        )
    print(f"run folder: {run.folder}")
