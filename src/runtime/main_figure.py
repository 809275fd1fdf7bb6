"""The one number that a command returns to Hydra, higher is better, so that sweepers can look for good settings."""

from __future__ import annotations

import math
from pathlib import Path

from src.runtime.errors import UsageError
from src.runtime.result import Result, read_result
from src.runtime.result_schemas import RetrainResult, SearchResult, TrainResult
from src.runtime.run_folder import RESULT, read_json

LOWEST = -1.0
"""What a job that failed returns: no figure is below it, and sweepers such as Optuna's end at a nan."""
KINDS: dict[str, type[Result]] = {kind.command: kind for kind in (TrainResult, SearchResult, RetrainResult)}


def main_figure(folder: Path, command: str) -> float:
    """The main figure of a finished run; nan where it has none, as other commands do.

    - train: Kendall's tau by the score that ranks, under the first BN protocol; without truth the mean accuracy.
    - search: the share of the true front's hypervolume; without truth the hypervolume by its own scores.
    - retrain: the validation accuracy, for the test part chooses nothing.
    """
    if command not in KINDS:
        return math.nan
    try:
        stored = read_json(folder / RESULT) or {}
        # several networks of one experiment have no one figure
        result = None if "experiment" in stored else read_result(folder, KINDS[command])
    except UsageError:  # damaged: whoever reads it says so
        return math.nan
    figure = None
    match result:
        case TrainResult() as ranked:
            figure = tau_or_accuracy(ranked)
        case SearchResult() as search:
            figure = search.hypervolume if search.true_hypervolume is None else search.true_hypervolume
        case RetrainResult() as network:
            figure = network.val_accuracy
    return math.nan if figure is None else float(figure)


def tau_or_accuracy(result: TrainResult) -> float | None:
    """Tau under the first BN protocol, None where it is undefined; the mean accuracy of a run that was not ranked."""
    for by_score in result.ranking.values():
        summary = by_score[result.ranked_by]["all"]
        return summary["tau"]["value"] if "tau" in summary else None
    return next((scores["accuracy_mean"] for scores in result.scores.values()), None)
