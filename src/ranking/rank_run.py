"""The two ways to a verdict: a trained supernet's paths, scored here, or a file of predictions made elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.analysis.report.figures import save
from src.analysis.report.similarity_figures import (
    channel_matrices,
    channel_matrices_to_first,
    choice_matrices,
    choice_matrix,
)
from src.analysis.similarity import channel_similarity, channel_similarity_to_first, choice_similarity
from src.benchmarks.benchmark import Benchmark
from src.benchmarks.build import benchmark_from, known_benchmark
from src.benchmarks.join import read_predictions
from src.ranking.comparison import Comparison
from src.ranking.feature_maps import layer_features
from src.ranking.ranking_table import show
from src.ranking.score_table import ScoringProcesses, chosen_paths
from src.ranking.summed_up import sum_up
from src.runtime.errors import UsageError
from src.runtime.provenance import commit, store_provenance
from src.runtime.result import RankResult, write_result
from src.runtime.resume import refuse_another_space, store
from src.runtime.run_folder import CONFIG, RESULT, SCORES, claim
from src.runtime.stored_run import read_config
from src.search_spaces.space import SearchSpace
from src.supernet.bn_protocols import check_protocol
from src.supernet.evaluator import Evaluator, Score, ScoringSettings
from src.supernet.path import ArchPath
from src.training.trained_supernet import TrainedSupernet, load_trained_supernet

FIXED = ("images", "calibration_images", "batch_size", "split")
"""What the scores of one folder have in common."""


def rank_run(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Score a run's paths under each protocol, resumably, and judge them if a benchmark is known.

    `overrides` are what the command line says.

    Raises:
        UsageError: anything that is wrong with the run, the benchmark, the paths or a protocol.
    """
    refuse_another_space(cfg, read_config(Path(cfg.run), "train"), overrides)
    ranks = ScoringProcesses()
    trained = load_trained_supernet(cfg.run, ranks.device(cfg.device), cfg.checkpoint)
    for protocol in cfg.bn:
        check_protocol(trained.net, protocol)
    benchmark = _benchmark(cfg, trained)
    paths = chosen_paths(cfg.paths, trained.space, cfg.seed)
    archs = [trained.space.format(path) for path in paths]
    comparison = Comparison(trained.space, benchmark, archs, trained.input_spec) if benchmark else None
    folder = Path(cfg.out or Path(cfg.run) / "rank" / _name(cfg, benchmark))
    figures = _Similarity(
        cfg, trained, max(paths, key=lambda path: next(iter(trained.space.counts(path).values())))
    )  # nothing idle feeds the layer
    _check_conditions(cfg, trained, folder)
    with _held(folder, ranks):
        if ranks.rank == 0:
            _write_down(cfg, trained, folder)
        started = time.monotonic()
        blocks = sum(_score(cfg, trained, protocol, paths, folder, ranks) for protocol in cfg.bn)
        if ranks.rank == 0:
            about: dict[str, Any] = {
                "by": cfg.by or trained.cfg.ranking.by,
                "run": str(cfg.run),
                "steps": trained.steps,
                "sampler": trained.cfg.choices.sampler,
                "search_space": trained.cfg.choices.search_space,
                "dataset": trained.dataset.name,
                "scoring_seconds": round(time.monotonic() - started, 1),
                "block_evaluations": blocks,
            }
            scores = pd.read_csv(folder / SCORES, dtype={"arch": str, "path": str})
            scores = scores[scores.arch.isin(archs)]
            tables = {protocol: scores[scores.bn == protocol] for protocol in cfg.bn}
            conclude(cfg, folder, comparison, tables, about, figures.save(folder))


def rank_file(cfg: DictConfig, folder: Path) -> None:
    """Judge the predictions of a file.

    Raises:
        UsageError: anything that is wrong with the file, the space or the benchmark.
    """
    if "search_space" not in cfg:
        raise UsageError(f"scores={cfg.scores}: say of which space its networks are: search_space=nas_bench_201, ...")
    space: SearchSpace = instantiate(cfg.search_space)
    if not cfg.benchmark.get("path"):
        raise UsageError("scores= needs a benchmark: benchmark=nas_bench_201 benchmark.path=..., or mini, table, ...")
    benchmark = benchmark_from(cfg.benchmark, space)
    predictions = read_predictions(cfg.scores, space)
    distinct = predictions.groupby("arch", sort=False).mean(numeric_only=True).reset_index()
    if repeated := len(predictions) - len(distinct):
        print(f"{repeated:,} rows of {cfg.scores} repeat an architecture: the mean of its rows counts")
    comparison = Comparison(space, benchmark, list(distinct.arch))
    has_loss = "loss" in comparison.scores_in(distinct)
    by = cfg.by or (cfg.recipe.rank_by if has_loss else "accuracy")
    if by != "accuracy" and not has_loss:
        raise UsageError(f"by={by} needs a loss: {cfg.scores} has no column loss that is full; use by=accuracy")
    folder = Path(cfg.out) if cfg.out else folder
    if (folder / CONFIG).exists() and OmegaConf.select(OmegaConf.load(folder / CONFIG), "scores") is None:
        raise UsageError(f"out={folder} holds a run of another kind: give a new folder")
    with claim(folder):
        store(cfg, folder, "rank")
        comparison.facts.merge(distinct, on="arch", suffixes=("", "_given")).to_csv(folder / SCORES, index=False)
        about = {"by": by, "source": str(cfg.scores), "repeated_rows": repeated, "search_space": space.name}
        conclude(cfg, folder, comparison, {"as given": distinct}, about, [])


def conclude(
    cfg: DictConfig,
    folder: Path,
    comparison: Comparison | None,
    tables: Mapping[str, pd.DataFrame],
    about: Mapping[str, Any],
    figures: list[Path],
) -> None:
    """Write result.json and figures, print the table; `tables` holds the scores of each protocol."""
    common = sum_up(comparison, tables, about["by"], cfg.seed, cfg.subsets)
    facts = {key: value for key, value in about.items() if key != "by"}
    if comparison is not None:
        figures = [*figures, *comparison.figures(tables, folder)]
        title = f"{comparison.space.name} ranked by {about['by']}, benchmark {comparison.benchmark.name}"
        show(title, common["ranking"], common["ceiling"], about["by"])
        for line in comparison.match.lines():
            print(line)
        for name, gap in common["gap"].items() if "run" in about else ():
            ranges = f"one-shot range {100 * gap['one_shot_range']:.1f}, alone {100 * gap['alone_range']:.1f}"
            print(f"{name}: {ranges}, gap lambda {100 * gap['gap']:.1f} percentage points")
    else:
        print("no benchmark: scores are stored and not ranked")
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    drawn = [path.as_posix() for path in figures]
    write_result(
        folder, RankResult(commit=commit(), seed=cfg.seed, settings=settings, figures=drawn, **facts, **common)
    )
    print(f"{_conditions(cfg, about, tables)}folder: {folder}")


def _conditions(cfg: DictConfig, about: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> str:
    """Under what the scores were made."""
    if "run" not in about:
        return ""
    images = next(iter(tables.values())).images.iloc[0]
    calibration = f", up to {cfg.calibration_images} calibration images" if {*cfg.bn} & {"adapt", "recalibrate"} else ""
    return (
        f"scored on {images} {cfg.split} images in batches of {cfg.batch_size}{calibration}; bn: {', '.join(cfg.bn)}\n"
    )


def _benchmark(cfg: DictConfig, trained: TrainedSupernet) -> Benchmark | None:
    """The one asked for, or the run's own."""
    if cfg.choices.benchmark == "none":
        return known_benchmark(trained.cfg, trained.dataset, trained.space)
    if not cfg.benchmark.get("path"):
        raise UsageError(f"benchmark={cfg.choices.benchmark} needs the path of its file: benchmark.path=...")
    return benchmark_from(cfg.benchmark, trained.space)


def _name(cfg: DictConfig, benchmark: Benchmark | None) -> str:
    if cfg.choices.benchmark != "none":
        return str(cfg.choices.benchmark)
    return benchmark.name if benchmark else "none"


def _check_conditions(cfg: DictConfig, trained: TrainedSupernet, folder: Path) -> None:
    """Refuse a folder with scores made under other conditions."""
    if not (folder / CONFIG).exists():
        return
    stored: Any = OmegaConf.load(folder / CONFIG)
    for key, value in _conditions_of(cfg, trained).items():
        if stored.get(key) != value:
            raise UsageError(
                f"{folder} holds scores made with {key}={stored.get(key)}, not {value}: "
                "give a new folder with out=..., or the same settings"
            )


def _conditions_of(cfg: DictConfig, trained: TrainedSupernet) -> dict[str, Any]:
    conditions = {key: cfg[key] for key in FIXED}
    return {**conditions, "run": str(Path(cfg.run).resolve()), "steps": trained.steps, "weights": trained.digest}


def _write_down(cfg: DictConfig, trained: TrainedSupernet, folder: Path) -> None:
    for old in (folder / RESULT, folder / "improvement.csv", *folder.glob("*.png")):
        old.unlink(missing_ok=True)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    store(OmegaConf.create(plain | _conditions_of(cfg, trained)), folder, "rank")
    store_provenance(folder, str(next(trained.net.parameters()).device), trained.dataset.name)


@contextmanager
def _held(folder: Path, ranks: ScoringProcesses) -> Iterator[None]:
    """The folder is these processes' own; the first one holds its lock."""
    lock = claim(folder) if ranks.rank == 0 else nullcontext()
    with lock:
        ranks.wait()
        yield
        ranks.wait()
    ranks.end()


def _score(
    cfg: DictConfig,
    trained: TrainedSupernet,
    protocol: str,
    paths: list[ArchPath],
    folder: Path,
    ranks: ScoringProcesses,
) -> int:
    """Score what is missing under one protocol; returns the block evaluations it took."""
    device = next(trained.net.parameters()).device
    sizes = (cfg.images, cfg.calibration_images, cfg.batch_size)
    evaluator = Evaluator(trained.net, trained.dataset, device, protocol, ScoringSettings(*sizes, part=cfg.split))
    common = {"supernet": trained.folder.name, "sampler": trained.cfg.choices.sampler, "seed": trained.cfg.seed}
    common |= {"split": cfg.split, "images": evaluator.images}

    def row(path: ArchPath, score: Score) -> dict[str, Any]:
        costs = trained.space.costs(path, trained.input_spec)._asdict()
        return {"arch": trained.space.format(path), **score._asdict(), **costs, **common}

    ranks.append_scores(folder / SCORES, evaluator, paths, row)
    return evaluator.block_evaluations


class _Similarity:
    """Figures 2, 9 and 12 to 14 of FairNAS for one layer, if one is named; computed before anything is scored."""

    def __init__(self, cfg: DictConfig, trained: TrainedSupernet, path: ArchPath) -> None:
        self.layer = cfg.similarity.layer
        if self.layer is None:
            return
        device, images = next(trained.net.parameters()).device, cfg.similarity.images
        batch = next(iter(trained.dataset.batches(cfg.split, images, device, images)))
        self.features = layer_features(trained.net, self.layer, batch.images, path).cpu()
        self.names = trained.space.op_names(self.layer)

    def save(self, folder: Path) -> list[Path]:
        """Write the figures; returns their paths."""
        if self.layer is None:
            return []
        by_channel, mean = choice_similarity(self.features)
        drawn = {
            "choices": choice_matrix(mean, self.names),
            "choices_by_channel": choice_matrices(by_channel, self.names),
            "channels": channel_matrices(channel_similarity(self.features), self.names),
            "channels_to_first": channel_matrices_to_first(channel_similarity_to_first(self.features), self.names),
        }
        return [save(figure, folder / f"similarity_layer_{self.layer}_{name}.png") for name, figure in drawn.items()]
