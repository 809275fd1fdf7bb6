"""Builds a ranking from its configuration: supernet, benchmark, paths and settings, or predictions made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.analysis.additive import ADDITIVE
from src.benchmarks.benchmark import Benchmark
from src.benchmarks.build import benchmark_from, known_benchmark
from src.benchmarks.join import Examples, read_predictions
from src.ranking.comparison import Comparison
from src.ranking.config_checks import SCORING
from src.ranking.score_table import ScoringProcesses, chosen_paths
from src.runtime.errors import UsageError
from src.runtime.resume import refuse_another_space
from src.runtime.run_folder import CONFIG
from src.runtime.stored_run import load_config, read_config
from src.search_spaces.space import SearchSpace
from src.supernet.bn_protocols import check_protocol
from src.supernet.evaluator import ScoringSettings
from src.supernet.path import ArchPath

if TYPE_CHECKING:
    from src.training.trained_supernet import TrainedSupernet

FIXED = (*SCORING, "split")
"""Conditions that all scores of one folder have in common."""


@dataclass(frozen=True)
class RankingSettings:
    """The settings of a ranking, whoever made the scores."""

    config: dict[str, Any]
    """As config.yaml stores it."""
    by: str
    """The score that orders the paths."""
    seed: int
    """Of the bootstrap."""
    subsets: bool
    """Whether the space's and the benchmark's subsets are ranked too."""


@dataclass(frozen=True)
class SupernetRanking:
    """A trained supernet whose paths are to be scored and ranked."""

    settings: RankingSettings
    trained: TrainedSupernet
    benchmark: Benchmark | None
    paths: list[ArchPath]
    protocols: list[str]
    scoring: ScoringSettings
    folder: Path
    proxies: list[str]
    """Names of training-free baselines."""
    proxy_images: int
    similarity_layer: int | None
    similarity_images: int


@dataclass(frozen=True)
class FileRanking:
    """Predictions of a file, to be ranked."""

    settings: RankingSettings
    comparison: Comparison
    predictions: dict[str, pd.DataFrame]
    """BN protocol, or `as given` for a file that names none -> scores of distinct architectures."""
    source: str
    repeated_rows: int
    not_finite: Examples
    """Rows that were left out."""
    folder: Path


def build_supernet_ranking(cfg: DictConfig, overrides: Sequence[str], processes: ScoringProcesses) -> SupernetRanking:
    """Read the run, the benchmark and the paths; `overrides` are the keys of the command line.

    Raises:
        UsageError: anything that is wrong with the run, the benchmark, the paths, a protocol or the folder.
    """
    refuse_another_space(cfg, read_config(Path(cfg.run), "train"), overrides)
    from src.training.trained_supernet import load_trained_supernet  # late: a file needs no Lightning, 3 s to import

    trained = load_trained_supernet(cfg.run, processes.device(cfg.device), cfg.checkpoint, cfg.dataset.root)
    for protocol in cfg.bn:
        check_protocol(trained.net, protocol)

    # The benchmark asked for, or the run's own.
    name = str(cfg.choices.benchmark)
    if name == "none":
        benchmark = known_benchmark(trained.cfg, trained.dataset, trained.space)
        name = benchmark.name if benchmark else "none"
    elif not cfg.benchmark.get("path"):
        raise UsageError(f"benchmark={name} needs the path of its file: benchmark.path=...")
    else:
        benchmark = benchmark_from(cfg.benchmark, trained.space)
    folder = Path(cfg.out or Path(cfg.run) / "rank" / name)

    # A folder holds scores made under one set of conditions, those of the run where they are not named.
    cfg.temperature = cfg.temperature or trained.cfg.ranking.temperature
    conditions = {key: cfg[key] for key in FIXED}
    conditions |= {"run": str(Path(cfg.run).resolve()), "steps": trained.steps, "weights": trained.digest}
    refuse_other_conditions(folder, conditions)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return SupernetRanking(
        settings=RankingSettings(plain | conditions, cfg.by or trained.cfg.ranking.by, cfg.seed, cfg.subsets),
        trained=trained,
        benchmark=benchmark,
        paths=chosen_paths(cfg.paths, trained.space, benchmark, cfg.seed),
        protocols=list(cfg.bn),
        scoring=ScoringSettings(
            cfg.images, cfg.calibration_images, cfg.batch_size, part=cfg.split, temperature=cfg.temperature
        ),
        folder=folder,
        proxies=list(cfg.proxies),
        proxy_images=cfg.proxy_images,
        similarity_layer=cfg.similarity.layer,
        similarity_images=cfg.similarity.images,
    )


def refuse_other_conditions(folder: Path, conditions: Mapping[str, Any]) -> None:
    """Refuse a folder whose scores were made under others than `conditions`; a new folder has none.

    Raises:
        UsageError: it names the first that differs.
    """
    if not (folder / CONFIG).exists():
        return
    stored = load_config(folder / CONFIG)
    for key, value in conditions.items():
        if stored.get(key) != value:
            raise UsageError(
                f"{folder} holds scores made with {key}={stored.get(key)}, not {value}: "
                "give a new folder with out=..., or the same settings"
            )


def build_file_ranking(cfg: DictConfig, folder: Path) -> FileRanking:
    """Read the predictions of a file and their benchmark.

    Raises:
        UsageError: anything that is wrong with the file, the space, the benchmark or the folder.
    """
    if "search_space" not in cfg:
        raise UsageError(f"scores={cfg.scores}: say of which space its networks are: search_space=nas_bench_201, ...")
    space: SearchSpace = instantiate(cfg.search_space)
    if not cfg.benchmark.get("path"):
        raise UsageError("scores= needs a benchmark: benchmark=nas_bench_201 benchmark.path=..., or mini, table, ...")
    benchmark = benchmark_from(cfg.benchmark, space)
    predictions, not_finite = read_predictions(cfg.scores, space)
    if not_finite.count:
        examples = ", ".join(not_finite.names)
        print(f"{not_finite.count:,} rows of {cfg.scores} have no finite accuracy and are left out, e.g. {examples}")

    # Scores under several batch-norm protocols, as scores.csv of a run has them, are ranked one by one.
    has_protocols = "bn" in predictions and predictions.bn.notna().all()
    parts = predictions.groupby("bn", sort=False) if has_protocols else [("as given", predictions)]
    tables = {str(name): part.groupby("arch", sort=False).mean(numeric_only=True).reset_index() for name, part in parts}
    if repeated := len(predictions) - sum(map(len, tables.values())):
        print(f"{repeated:,} rows of {cfg.scores} repeat an architecture: the mean of its rows counts")
    comparison = Comparison(space, benchmark, list(dict.fromkeys(predictions.arch)))

    # The space's own score orders the networks, where the file has it; a sum over layers suits supernets alone
    has_loss = all("loss" in comparison.scores_in(table) for table in tables.values())
    recipe = "loss" if cfg.recipe.rank_by == ADDITIVE else cfg.recipe.rank_by
    by = cfg.by or (recipe if has_loss else "accuracy")
    if by != "accuracy" and not has_loss:
        raise UsageError(f"by={by} needs a loss: {cfg.scores} has no column loss that is full; use by=accuracy")
    folder = Path(cfg.out) if cfg.out else folder
    if (folder / CONFIG).exists() and load_config(folder / CONFIG).get("scores") is None:
        raise UsageError(f"out={folder} holds a run of another kind: give a new folder")
    settings = RankingSettings(OmegaConf.to_container(cfg, resolve=True), by, cfg.seed, cfg.subsets)  # type: ignore[arg-type]
    return FileRanking(settings, comparison, tables, str(cfg.scores), repeated, not_finite, folder)
