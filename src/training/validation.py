"""The one-shot accuracy curve: a fixed set of paths scored with the supernet's weights as they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from torch import distributed

from src.supernet.evaluator import Evaluator, split_paths
from src.supernet.path import ArchPath
from src.training.parallel import Parallelism


class SupernetValidation:
    """Scores the same paths at every validation; of several processes each scores a share."""

    def __init__(self, evaluator: Evaluator, paths: Sequence[ArchPath], parallelism: Parallelism) -> None:
        self.evaluator, self.paths, self.parallelism = evaluator, list(paths), parallelism

    def __call__(self) -> dict[str, float]:
        """Mean, standard deviation, minimum and maximum of the paths' top-1 accuracy, in [0, 1]."""
        self.evaluator.forget()  # the weights have changed since the last time
        own = split_paths(self.paths, self.parallelism.rank, self.parallelism.size)
        accuracies = gather([score.accuracy for _, score in self.evaluator.scores(own)], self.parallelism.size)
        return {
            "supernet/accuracy_mean": statistics.fmean(accuracies),
            "supernet/accuracy_std": statistics.pstdev(accuracies),
            "supernet/accuracy_min": min(accuracies),
            "supernet/accuracy_max": max(accuracies),
        }


def gather(own: list[float], processes: int) -> list[float]:
    """The lists of all processes, one after another."""
    if processes == 1:
        return own
    lists: list[Any] = [None] * processes
    distributed.all_gather_object(lists, own)
    return [value for values in lists for value in values]
