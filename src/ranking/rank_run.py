"""Ranks the paths of a trained supernet, or the predictions of a file, against a benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import OmegaConf

from src.analysis.report.png import save
from src.analysis.report.similarity_figures import (
    channel_matrices,
    channel_matrices_to_first,
    choice_matrices,
    choice_matrix,
)
from src.analysis.similarity import channel_similarity, channel_similarity_to_first, choice_similarity
from src.ranking.build import FileRanking, RankingSettings, SupernetRanking
from src.ranking.comparison import Comparison
from src.ranking.feature_maps import layer_features
from src.ranking.proxies import score_networks
from src.ranking.ranking_table import show
from src.ranking.score_table import ScoringProcesses, score_row
from src.ranking.summed_up import sum_up
from src.runtime.provenance import commit, store_provenance
from src.runtime.result import write_result
from src.runtime.result_schemas import RankResult
from src.runtime.resume import store
from src.runtime.run_folder import CALIBRATED, CONFIG, RESULT, SCORES, claim, replace_file
from src.supernet.evaluator import Evaluator


def rank_run(ranking: SupernetRanking, processes: ScoringProcesses) -> None:
    """Score the paths that have no score yet under each protocol, resumably, and rank them if a benchmark is known."""
    trained, folder = ranking.trained, ranking.folder
    comparison = compared(ranking)
    figures = SimilarityFigures(ranking)
    with locked(folder, processes):
        started = time.monotonic()
        if processes.rank == 0:
            begin_anew(ranking)
        blocks = score_all(ranking, processes)
        if processes.rank > 0:
            return

        # The first process ranks for all; training-free baselines are quick.
        if ranking.proxies:
            proxies = score_proxies(ranking)
            if comparison is not None:
                comparison.add_baselines(proxies)
        tables = score_tables(ranking)
        facts: dict[str, Any] = {
            "run": str(trained.folder),
            "steps": trained.steps,
            "sampler": trained.cfg.choices.sampler,
            "search_space": trained.cfg.choices.search_space,
            "dataset": trained.dataset.name,
            "scoring_seconds": round(time.monotonic() - started, 1),
            "block_evaluations": blocks,
        }
        gaps = write_ranking(ranking.settings, folder, comparison, tables, facts, figures.save(folder))
        for name, gap in gaps.items():
            ranges = f"one-shot range {100 * gap['one_shot_range']:.1f}, alone {100 * gap['alone_range']:.1f}"
            print(f"{name}: {ranges}, gap lambda {100 * gap['gap']:.1f} percentage points")
        scoring, images = ranking.scoring, next(iter(tables.values())).images.iloc[0]
        calibrates = bool({*ranking.protocols} & {*CALIBRATED})
        calibration = f", up to {scoring.calibration_images} calibration images" if calibrates else ""
        print(
            f"scored on {images} {scoring.part} images in batches of {scoring.batch_size}{calibration}; "
            f"temperature {scoring.temperature:g}; "
            f"bn: {', '.join(ranking.protocols)}\nfolder: {folder}"
        )


def rank_file(ranking: FileRanking) -> None:
    """Rank the predictions of a file."""
    folder, tables = ranking.folder, ranking.predictions
    with claim(folder):
        store(OmegaConf.create(ranking.settings.config), folder, "rank")
        # scores.csv has what the benchmark knows beside what was predicted
        predicted = pd.concat([table.assign(bn=name) for name, table in tables.items()])
        facts = ranking.comparison.facts.merge(predicted, on="arch", suffixes=("", "_given"))
        replace_file(folder / SCORES, facts.to_csv(index=False))
        about = {
            "source": ranking.source,
            "repeated_rows": ranking.repeated_rows,
            "not_finite": {"count": ranking.not_finite.count, "examples": list(ranking.not_finite.names)},
            "search_space": ranking.comparison.space.name,
        }
        write_ranking(ranking.settings, folder, ranking.comparison, tables, about, [])
        print(f"folder: {folder}")


def write_ranking(
    settings: RankingSettings,
    folder: Path,
    comparison: Comparison | None,
    tables: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Any],
    figures: list[Path],
) -> dict[str, Any]:
    """Write result.json and figures, print the table; `tables` holds the scores of each protocol. Returns the gaps."""
    # Ranked if there is a truth; else the scores' ranges alone
    common = sum_up(comparison, tables, settings.by, settings.seed, settings.subsets)
    if comparison is not None:
        figures = [*figures, *comparison.figures(tables, settings.by, folder)]
        title = f"{comparison.space.name} ranked by {settings.by}, benchmark {comparison.benchmark.name}"
        show(title, common["ranking"], common["ceiling"], settings.by)
        for line in comparison.match.lines():
            print(line)
    else:
        print("no benchmark: scores are stored and not ranked")
    # result.json is written last: a ranking that has it is finished
    drawn = [path.as_posix() for path in figures]
    result = RankResult(commit=commit(), seed=settings.seed, settings=settings.config, figures=drawn, **facts, **common)
    write_result(folder, result)
    return common.get("gap", {})


def compared(ranking: SupernetRanking) -> Comparison | None:
    """The paths beside their truth; None where no benchmark is known."""
    trained = ranking.trained
    archs = [trained.space.format(path) for path in ranking.paths]
    if ranking.benchmark is None:
        return None
    return Comparison(trained.space, ranking.benchmark, archs, trained.input_spec)


def begin_anew(ranking: SupernetRanking) -> None:
    """Keep the scores of an earlier ranking in this folder alone: it was of other paths or ranked by other settings."""
    folder = ranking.folder
    for old in (folder / RESULT, folder / "improvement.csv", *folder.glob("*.png")):
        old.unlink(missing_ok=True)
    store(OmegaConf.create(ranking.settings.config), folder, "rank")


def score_all(ranking: SupernetRanking, processes: ScoringProcesses) -> int:
    """Score what has no score yet under every protocol, in a folder that is locked; returns the block evaluations."""
    folder, trained = ranking.folder, ranking.trained
    if processes.rank == 0:
        # a ranking that is there, of the same conditions, stays as it is: an ensemble adds scores to its table alone
        if not (folder / CONFIG).exists():
            store(OmegaConf.create(ranking.settings.config), folder, "rank")
        store_provenance(folder, str(next(trained.net.parameters()).device), trained.dataset.name)
    return sum(score(ranking, protocol, processes) for protocol in ranking.protocols)


def score_tables(ranking: SupernetRanking) -> dict[str, pd.DataFrame]:
    """The stored scores of the ranking's paths, by protocol."""
    archs = {ranking.trained.space.format(path) for path in ranking.paths}
    scores = pd.read_csv(ranking.folder / SCORES, dtype={"arch": str, "path": str})
    scores = scores[scores.arch.isin(archs)]
    return {protocol: scores[scores.bn == protocol] for protocol in ranking.protocols}


@contextmanager
def locked(folder: Path, processes: ScoringProcesses) -> Iterator[None]:
    """Lock the folder for these processes; the first one holds the lock, and all begin and end together."""
    lock = claim(folder) if processes.rank == 0 else nullcontext()
    with lock:
        processes.wait()
        yield
        processes.wait()


def score(ranking: SupernetRanking, protocol: str, processes: ScoringProcesses) -> int:
    """Score the paths that have no score under one protocol; returns the block evaluations it took."""
    trained = ranking.trained
    device = next(trained.net.parameters()).device
    evaluator = Evaluator(trained.net, trained.dataset, device, protocol, ranking.scoring)
    common = {"supernet": trained.folder.name, "sampler": trained.cfg.choices.sampler, "seed": trained.cfg.seed}
    common |= {"split": ranking.scoring.part, "images": evaluator.images}

    row = score_row(trained.space, trained.input_spec, common, {})
    processes.append_scores(ranking.folder / SCORES, evaluator, ranking.paths, row)
    return evaluator.block_evaluations


def score_proxies(ranking: SupernetRanking) -> pd.DataFrame:
    """The training-free baselines of the networks, columns arch and one of each; prints what they cost."""
    trained = ranking.trained
    batch = next(
        iter(trained.dataset.batches("train", ranking.proxy_images, torch.device("cpu"), ranking.proxy_images))
    )
    seed = ranking.settings.seed
    scores = score_networks(
        trained.space, ranking.paths, trained.input_spec, batch, ranking.proxies, seed, ranking.folder
    )
    for name, milliseconds in scores.milliseconds.items():
        print(f"{name}: {milliseconds:.1f} ms a network, initialised with seed {seed}, {len(batch.images)} images")
    return scores.table


class SimilarityFigures:
    """Figures 2, 9 and 12 to 14 of FairNAS for one layer, if one is named; computed before anything is scored."""

    def __init__(self, ranking: SupernetRanking) -> None:
        self.layer = ranking.similarity_layer
        if self.layer is None:
            return
        trained, images = ranking.trained, ranking.similarity_images
        device = next(trained.net.parameters()).device
        batch = next(iter(trained.dataset.batches(ranking.scoring.part, images, device, images)))
        # The path with the most blocks: nothing idle feeds the layer.
        path = max(ranking.paths, key=lambda path: next(iter(trained.space.counts(path).values())))
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
