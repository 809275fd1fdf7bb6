"""Where the scores of a search come from: a trained supernet, a table of its scores, or the truth."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.join import spellings
from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.runtime.run_folder import SOURCE, read_json
from src.search_spaces.space import SearchSpace
from src.supernet.evaluator import Evaluator
from src.supernet.path import ArchPath

SCORE = "score"
"""The objective that is accuracy or loss, as the run or the space ranks."""


class Scores(Protocol):
    """Scores paths: accuracy in [0, 1], and loss in nats, nan where it is not known."""

    def __call__(self, paths: Sequence[ArchPath]) -> Iterable[tuple[ArchPath, float, float]]:
        """(path, accuracy, loss) of each of the distinct paths, in any order."""


@dataclass(frozen=True)
class ScoreSource:
    """The space that is searched, and the scores of its paths."""

    space: SearchSpace
    input_spec: InputSpec
    """What the networks read: their costs are stated for it."""
    scores: Scores
    truth: Mapping[str, float]
    """Accuracies alone, by the space's arch strings; empty where no benchmark is known."""
    objectives: Sequence[str]
    """As they are searched: `score` has become accuracy or loss."""
    about: Mapping[str, Any]
    """Identifies the scores: stored as source.json, and compared when the search is resumed."""
    temperature: float | None = None
    """By which a supernet's logits are divided before its losses; None: a table, whose losses are there already."""


class SupernetScores:
    """Scores with the weights of a supernet, or the mean of several; each distinct prefix of a generation once."""

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self.evaluators = evaluators

    def __call__(self, paths: Sequence[ArchPath]) -> Iterable[tuple[ArchPath, float, float]]:
        """(path, accuracy, loss) as they are scored by the last supernet."""
        *others, last = self.evaluators
        before = [dict(evaluator.scores(paths)) for evaluator in others]
        for path, score in last.scores(paths):
            each = [*(scores[path] for scores in before), score]
            yield path, *(sum(values) / len(each) for values in zip(*each, strict=True))


def truth_of(space: SearchSpace, benchmark: Benchmark | None) -> dict[str, float]:
    """A benchmark's accuracies by the space's own arch strings."""
    known = benchmark.accuracies() if benchmark else {}
    return {name: known[arch] for name, arch in spellings(space, known).items() if not math.isnan(known[arch])}


def named_objectives(objectives: Sequence[str], ranked_by: str) -> list[str]:
    """The objectives with the score that `score` stands for: accuracy where that ranks the run or space, else loss."""
    score = "accuracy" if ranked_by == "accuracy" else "loss"
    return [score if name == SCORE else name for name in objectives]


def digest(values: Mapping[str, float]) -> str:
    """Hash of a table, whatever its order."""
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]


def check_source(folder: Path, about: Mapping[str, Any]) -> None:
    """Refuse to resume with scores, weights or latencies other than those the search was begun with.

    Raises:
        UsageError: it names what differs.
    """
    stored = read_json(folder / SOURCE)
    if stored is None:
        return
    for key in sorted({*stored, *about}):
        if stored.get(key) != about.get(key):
            raise UsageError(
                f"{folder} was begun with other scores: {key} was {stored.get(key)} and is {about.get(key)}: "
                "start a new search"
            )
