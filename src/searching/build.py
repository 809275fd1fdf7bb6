"""Builds a search from its configuration: whatever is wrong is refused here, before anything is scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.build import benchmark_from, known_benchmark
from src.datasets.input_spec import InputSpec
from src.ranking.config_checks import SCORING
from src.ranking.ensemble import check_members, common_setting, members
from src.ranking.score_table import ScoringProcesses, TableScores, read_scores
from src.runtime.errors import UsageError
from src.runtime.lightning import quiet
from src.runtime.loggers import make_loggers
from src.runtime.run_folder import LISTED_PATHS
from src.search_spaces.space import SearchSpace
from src.searchers.limits import TRIES, FeasiblePaths, Limit
from src.searchers.objectives import COMPUTED, make_objectives
from src.searchers.path_costs import Additive, Cost, PathCost
from src.searchers.searcher import Searcher, SearchProblem
from src.searching.archive import Archive
from src.searching.config_checks import evaluator_of
from src.searching.latency import ModuleTimer, check_once, measure_table, read_table
from src.searching.loop import Search, SearchBudget
from src.searching.result import SearchSettings
from src.searching.score_source import (
    SCORE,
    ScoreSource,
    SupernetScores,
    check_source,
    digest,
    named_objectives,
    truth_of,
)
from src.searching.true_front import TrueFront
from src.supernet.bn_protocols import check_protocol
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.training.trained_supernet import load_trained_supernet

LATENCY = "latency.csv"
"""The table of a run folder, if the search measured one."""


def build_search(cfg: DictConfig, folder: Path, source: ScoreSource) -> Search:
    """A search with the state of its checkpoint if it has one; its folder is locked by this process.

    Raises:
        UsageError: anything that is wrong with an objective, a limit, the searcher, or what the folder holds.
    """
    # Costs that are objectives or limited; a search goes on with the latencies that it began with
    names = source.objectives
    windows = {name: window(name, v) for name in COMPUTED if (v := cfg.limit[name]) is not None}
    costs = _costs(source, {*names, *windows}, cfg, folder)
    if isinstance(latency := costs.get("latency"), Additive):
        about = {**source.about, "latency": digest(latency.by_choice())}
        source = replace(source, about=about)
    check_source(folder, source.about)
    # The problem: objectives, the paths within the limits, and who proposes them
    most = {name: ends[1] for name, ends in windows.items()}
    objectives = make_objectives(names, costs, most, source.input_spec.num_classes)
    limits = [Limit(costs[name], most, least) for name, (least, most) in windows.items()]
    feasible = FeasiblePaths(source.space.sizes, limits)
    searcher = _searcher(cfg.searcher, SearchProblem(feasible, objectives, cfg.seed))
    # The true front, where every network of the space is known
    true_front = None
    if len(source.truth) == source.space.count <= LISTED_PATHS:
        true_front = TrueFront(source.space, source.truth, feasible, objectives)
    # Where the search stands
    budget = SearchBudget(cfg.budget.models, cfg.budget.generations)
    loggers = make_loggers(cfg.logger, folder, [cfg.choices.searcher, source.space.name, "search"], "search")
    search = Search(folder, source, searcher, Archive(folder, objectives), budget, true_front, loggers)
    search.resume(cfg.checkpoint)
    return search


def window(name: str, limit: float | Sequence[float]) -> tuple[float, float]:
    """Lower and upper end of a limit: a number is the upper one.

    Raises:
        UsageError: a list of another length than two.
    """
    # a list of Hydra's is a Sequence too
    if not isinstance(limit, Sequence):
        return -math.inf, float(limit)
    if len(limit) != 2:
        raise UsageError(f"limit.{name}=[{','.join(map(str, limit))}] is no window: give two numbers, least and most")
    return float(limit[0]), float(limit[1])


def search_settings(cfg: DictConfig, source: ScoreSource) -> SearchSettings:
    """The typed settings that a search is stored, ended and shown by."""
    return SearchSettings(
        config=cfg,
        searcher=cfg.choices.searcher,
        seed=cfg.seed,
        limit={name: list(v) if OmegaConf.is_list(v) else v for name, v in cfg.limit.items() if v is not None},
        select=cfg.select,
        device=cfg.device,
        scoring={key: cfg[key] for key in ("bn", *SCORING)} | {"temperature": source.temperature},
    )


def _searcher(settings: DictConfig, problem: SearchProblem) -> Searcher:
    try:
        return instantiate(settings, _partial_=True)(problem)
    except TypeError as error:
        raise UsageError(f"searcher: {error}: see the keys in conf/searcher") from None


def find_source(cfg: DictConfig) -> ScoreSource:
    """The source of scores that `evaluator` names, and the space it scores.

    Raises:
        UsageError: anything that is wrong with the run or the tables.
    """
    quiet()
    evaluator = evaluator_of(cfg)
    if evaluator == "supernet":
        return _supernet(cfg)
    # Tables: a benchmark's truth, or scores made elsewhere; the space has to be named
    if "search_space" not in cfg:
        raise UsageError(f"evaluator={evaluator}: say of which space: search_space=nas_bench_macro, ...")
    space: SearchSpace = instantiate(cfg.search_space)
    benchmark = benchmark_from(cfg.benchmark, space) if cfg.benchmark.get("path") else None
    truth = truth_of(space, benchmark)
    if evaluator == "truth":
        if not truth:
            raise UsageError(
                "evaluator=truth needs a benchmark: benchmark=mini, or nas_bench_macro with benchmark.path="
            )
        scores = TableScores(space, truth, {}, f"benchmark={cfg.choices.benchmark}")
    else:
        scores = read_scores(Path(cfg.scores), space, cfg.bn)
    objectives = named_objectives(cfg.objectives, cfg.recipe.rank_by if scores.loss else "accuracy")
    if "loss" in objectives and not scores.loss:
        raise UsageError(f"objective loss: {scores.name} holds accuracies alone: use accuracy")
    # A resumed search is refused if the score that it optimises is not the one it began with
    about = {"evaluator": evaluator, "table": digest(scores.loss if "loss" in objectives else scores.accuracy)}
    return ScoreSource(space, space.reference, scores, truth, objectives, about)


def _supernet(cfg: DictConfig) -> ScoreSource:
    runs = members(cfg.run)
    check_members(runs)
    # losses as the runs rank by them, unless it is said otherwise
    temperature = common_setting(runs, "temperature", cfg.temperature, "temperature=<number>")
    device, sizes = ScoringProcesses().device(cfg.device), (cfg.images, cfg.calibration_images, cfg.batch_size)
    several, evaluators = [], []
    for run in runs:
        trained = load_trained_supernet(run, device, cfg.supernet_checkpoint, cfg.dataset.root)
        check_protocol(trained.net, cfg.bn)
        several.append(trained)
        scoring = ScoringSettings(*sizes, temperature=temperature)
        evaluators.append(Evaluator(trained.net, trained.dataset, device, cfg.bn, scoring))
    # a search knows its supernets by their weights
    first = several[0]
    truth = truth_of(first.space, _benchmark(cfg, first.cfg, first.dataset, first.space))
    about: dict[str, Any] = {
        "evaluator": "supernet",
        "steps": first.steps if len(several) == 1 else [trained.steps for trained in several],
        "weights": " ".join(trained.digest for trained in several),
        "images": evaluators[0].images,
    }
    if temperature != 1:  # a search from before the key was there has none
        about["temperature"] = temperature
    # the score that all of them rank by, where it is an objective
    ranked_by = first.cfg.ranking.by
    if SCORE in cfg.objectives:
        ranked_by = common_setting(runs, "by", None, "objectives=[loss,macs,params], or accuracy")
    objectives = named_objectives(cfg.objectives, ranked_by)
    scores = SupernetScores(evaluators)
    return ScoreSource(first.space, first.input_spec, scores, truth, objectives, about, temperature)


def _benchmark(cfg: DictConfig, run: DictConfig, dataset: Any, space: SearchSpace) -> Benchmark | None:
    """The benchmark that is named, or the one of the run."""
    return benchmark_from(cfg.benchmark, space) if cfg.benchmark.get("path") else known_benchmark(run, dataset, space)


def _costs(source: ScoreSource, wanted: set[str], cfg: DictConfig, folder: Path) -> dict[str, Cost]:
    """Parameters and multiply-adds, and latency if it is wanted.

    Raises:
        UsageError: latency is wanted of a space without a table of costs.
    """
    # latency is timed only where somebody wants it
    space = source.space
    costs: dict[str, Cost] = {name: _cost(space, source.input_spec, name) for name in ("macs", "params")}
    if "latency" not in wanted:
        return costs
    if not space.parts(source.input_spec):
        raise UsageError(f"latency of {space.name} is no sum over its choices: use macs or params")
    return costs | {"latency": _latency(space, source.input_spec, cfg.latency, folder, cfg.seed)}


def _cost(space: SearchSpace, input_spec: InputSpec, name: str) -> Cost:
    """Parameters or multiply-adds: a table where they are sums, so that limits are met without trial and error."""
    table = space.additive_costs(input_spec)
    if table is not None:
        choices = tuple(tuple(getattr(choice, name) for choice in layer) for layer in table.choices)
        return Additive(name, getattr(table.fixed, name), choices)
    # bounds that are known, over all networks, or over a sample
    if (extremes := space.extremes()) is not None:
        return PathCost(name, lambda path: getattr(space.costs(path, input_spec), name), extremes, is_sample=False)
    is_sample = space.count > LISTED_PATHS
    paths = space.sample_distinct(TRIES if is_sample else space.count, torch.Generator().manual_seed(0))
    return PathCost(name, lambda path: getattr(space.costs(path, input_spec), name), paths, is_sample)


def _latency(space: SearchSpace, input_spec: InputSpec, settings: DictConfig, folder: Path, seed: int) -> Additive:
    """The table of `latency.table`, or one measured once for this run; prints its error against whole networks."""
    if settings.table is not None:
        return read_table(space, Path(settings.table), input_spec)
    timer = ModuleTimer(settings.backend, settings.threads, settings.batch_size)
    file = folder / LATENCY
    table = read_table(space, file, input_spec) if file.exists() else measure_table(space, input_spec, timer, file)
    if settings.check:
        _print_errors(check_once(space, input_spec, table, timer, _sample(space, settings.check, seed), file))
    return table


def _sample(space: SearchSpace, count: int, seed: int) -> Sequence[tuple[int, ...]]:
    feasible, rng = FeasiblePaths(space.sizes), np.random.default_rng(seed)
    return [feasible.sample(rng) for _ in range(count)]


def _print_errors(errors: dict[str, Any]) -> None:
    mean, size, most = (100 * errors[key] for key in ("mean_error", "mean_absolute_error", "largest_error"))
    print(
        f"latency table against {errors['networks']} whole networks timed here: error {mean:+.1f} % on average, "
        f"{size:.1f} % in size, {most:.1f} % at most; Kendall's tau {errors['tau']:.2f}"
    )
