"""The one-shot accuracy curve: a fixed set of paths scored with the supernet's weights as they are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from torch import distributed

from src.supernet.evaluator import Evaluator, Score, split_paths
from src.supernet.path import ArchPath
from src.training.step import SupernetStep

Record = Callable[[Sequence[tuple[ArchPath, Score]]], None]


class SupernetValidation:
    """Scores the same paths at every validation; of several processes each scores a share."""

    def __init__(self, evaluator: Evaluator, paths: Sequence[ArchPath], module: SupernetStep, record: Record) -> None:
        """`record` stores the scores of all paths, in the first process."""
        self.evaluator, self.paths, self.module = evaluator, list(paths), module
        self.parallelism = module.parallelism
        self.record = record

    def __call__(self) -> dict[str, float]:
        """Mean, standard deviation, minimum and maximum of the paths' top-1 accuracy, in [0, 1]."""
        self.evaluator.forget()  # the weights have changed since the last time
        own = split_paths(self.paths, self.parallelism.rank, self.parallelism.size)
        with self.module.average.in_place():
            scores = sorted(gather(list(self.evaluator.scores(own)), self.parallelism.size))
        if self.parallelism.rank == 0:
            self.record(scores)
        if self.module.order is not None:
            self.module.order.add(scores)
        accuracies = [score.accuracy for _, score in scores]
        return {
            "supernet/accuracy_mean": statistics.fmean(accuracies),
            "supernet/accuracy_std": statistics.pstdev(accuracies),
            "supernet/accuracy_min": min(accuracies),
            "supernet/accuracy_max": max(accuracies),
        }


def gather(own: list[Any], processes: int) -> list[Any]:
    """The lists of all processes, one after another."""
    if processes == 1:
        return own
    lists: list[Any] = [None] * processes
    distributed.all_gather_object(lists, own)
    return [value for values in lists for value in values]
