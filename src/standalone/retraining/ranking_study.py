"""Stand-alone ranking (FairNAS 4.4 and B.2): paths of a supernet at equal one-shot distance, each trained alone.

models.csv holds the chosen paths, models/<path>/ the run of each, table.csv and result.json the comparison. k models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from src.analysis.ranking import accuracy_gap, summary
from src.analysis.report.png import save
from src.analysis.report.study_figures import ranks_figure, training_figure
from src.analysis.spaced import evenly_spaced
from src.datasets.input_spec import InputSpec
from src.ranking.score_table import read_scores
from src.runtime.errors import UsageError
from src.runtime.loggers import finish_loggers, log_picture, open_loggers
from src.runtime.provenance import store_provenance
from src.runtime.result import read_result, write_result
from src.runtime.result_schemas import RetrainResult, StudyResult
from src.runtime.run_folder import METRICS, PROVENANCE, SCORES, replace_file
from src.search_spaces.space import SearchSpace
from src.standalone.retraining.study_table import show
from src.supernet.path import format_path, parse_path

MODELS, TABLE = "models.csv", "table.csv"
CHOSEN = ["path", "arch", "one_shot", "params", "macs"]
TRUTHS = ("test", "val")


@dataclass(frozen=True)
class StudySettings:
    """Which paths of which supernet are trained alone."""

    run: str
    """The supernet's run folder."""
    count: int
    """k."""
    bn: str
    """The BN protocol of the one-shot scores."""
    scores: str | None
    """A file of scores; None: the run's own."""
    seed: int
    dataset: str


def run_study(
    settings: StudySettings,
    folder: Path,
    space: SearchSpace,
    chosen: pd.DataFrame,
    train: Callable[[str, Path], None],
    loggers: list[Any],
    config: Mapping[str, Any],
) -> None:
    """Train the chosen paths that are not trained yet, then compare; a killed study is resumed by the same command.

    `train(path, folder)` trains one path's network; `config` is what loggers store.
    """
    store_provenance(folder, "see models/", settings.dataset)
    replace_file(folder / MODELS, chosen.to_csv(index=False, lineterminator="\n"))
    for i, row in enumerate(chosen.to_dict("records"), 1):
        print(f"model {i} of {len(chosen)}: {row['path']}, one-shot accuracy {100 * row['one_shot']:.1f} %")
        train(row["path"], folder / "models" / row["path"])
    compare(settings, folder, space, chosen, loggers, config)


def choose(settings: StudySettings, folder: Path, space: SearchSpace, input_spec: InputSpec) -> pd.DataFrame:
    """Rows (path, arch, one_shot, params, macs) in order of one-shot accuracy; those of an earlier start stay.

    Raises:
        UsageError: no such scores, none of the space, or too few of them.
    """
    if (folder / MODELS).exists():
        return pd.read_csv(folder / MODELS, dtype={"path": str, "arch": str})
    # scores of a file, or those that the run stored when it ended
    file = Path(settings.scores or Path(settings.run) / SCORES)
    if settings.scores is None and not file.is_file():
        raise UsageError(
            f"{file}: there are no scores to choose by; finish the run: python -m src.train resume={settings.run}"
        )
    scores = read_scores(file, space, settings.bn).accuracy
    if len(scores) < settings.count:
        raise UsageError(
            f"study.count={settings.count}: {file} has {len(scores)} paths scored under study.bn={settings.bn}"
        )
    archs = list(scores)
    rows = []
    # at equal distances of one-shot accuracy, as FairNAS's Figure 8 has them
    for i in evenly_spaced(list(scores.values()), settings.count):
        path = space.parse(archs[i])
        costs = space.costs(path, input_spec)._asdict()
        rows.append({"path": format_path(path), "arch": archs[i], "one_shot": scores[archs[i]], **costs})
    return pd.DataFrame(rows)[CHOSEN]


def compare(
    settings: StudySettings,
    folder: Path,
    space: SearchSpace,
    chosen: pd.DataFrame,
    loggers: list[Any],
    config: Mapping[str, Any],
) -> None:
    """Write table.csv, figures and result.json of k trained models, and print the tables."""
    results = [read_result(folder / "models" / path, RetrainResult) for path in chosen.path]
    finished = [result for result in results if result is not None]

    # The table: one-shot accuracy, accuracies alone, and what can be counted.
    alone = {part: [getattr(result, f"{part}_accuracy") for result in finished] for part in TRUTHS}
    table = chosen.assign(**alone)
    counts = pd.DataFrame([space.counts(parse_path(path)) for path in table.path], index=table.index)
    table = table.join(counts)
    replace_file(folder / TABLE, table.round(6).to_csv(index=False, lineterminator="\n"))

    # The comparison with each truth.
    baselines = {name: table[name] for name in ("params", "macs", *counts)}
    rankings = {
        part: summary(table.one_shot, table[part], baselines, settings.seed) | accuracy_gap(table.one_shot, table[part])
        for part in TRUTHS
    }
    first = finished[0]
    result = StudyResult(
        run=settings.run,
        bn=settings.bn,
        search_space=first.search_space,
        dataset=first.dataset,
        recipe=first.recipe,
        weights=first.weights,
        seed=first.seed,
        epochs=first.epochs,
        device=first.device,
        models=len(finished),
        backward_passes=sum(model.backward_passes or 0 for model in finished),
        wall_seconds=round(sum(model.wall_seconds or 0.0 for model in finished), 1),
        commit=json.loads((folder / PROVENANCE).read_text())["commit"],
        test=rankings["test"],
        val=rankings["val"],
    )

    draw_and_log(folder, table, rankings, loggers, config)
    write_result(folder, result)
    show(table, result, folder)


def draw_and_log(
    folder: Path,
    table: pd.DataFrame,
    rankings: Mapping[str, Mapping[str, Any]],
    loggers: list[Any],
    config: Mapping[str, Any],
) -> None:
    """Figures as FairNAS's 8 and 10, as files and as W&B media, with the figures of the ranking."""
    curves = [pd.read_csv(folder / "models" / path / METRICS) for path in table.path]
    ranks = ranks_figure(table.one_shot, table.test, rankings["test"]["tau"])
    drawn = {
        "ranks": save(ranks, folder / "figures" / "ranks.png"),
        "training": save(training_figure(curves, table.one_shot), folder / "figures" / "training.png"),
    }
    # the models had loggers of their own; the study is a run beside them
    open_loggers(loggers, config)
    for name, path in drawn.items():
        log_picture(loggers, f"standalone/{name}", path)
    for logger in loggers:
        metrics = {f"standalone/tau_{part}": rankings[part]["tau"]["value"] for part in TRUTHS}
        metrics["standalone/gap"] = rankings["test"]["gap"]
        logger.log_metrics({key: value for key, value in metrics.items() if value is not None})
    finish_loggers(loggers)
