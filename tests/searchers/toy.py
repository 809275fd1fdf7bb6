"""A problem whose front is known: a path costs 1 and its choices' numbers, which pay for it in some layers only."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray

from src.analysis.pareto import front
from src.searchers.limits import FeasiblePaths, Limit
from src.searchers.objectives import make_objectives
from src.searchers.path_costs import Additive
from src.searchers.searcher import Searcher, SearchProblem
from src.supernet.path import ArchPath

SIZES = (4, 3, 4, 4, 3, 4, 4)
PAYS = (3.0, 0.2, 2.0, -0.5, 1.0, 0.1, -1.0)
"""Accuracy per step of a layer's choice."""
MACS = Additive("macs", 1.0, tuple(tuple(float(c) for c in range(m)) for m in SIZES))
NAMES = ("random_search", "spos_evolution", "nsga2", "nsga2_rl", "moremnas", "mnasnet_rl")
CONF = Path(__file__).resolve().parents[2] / "conf"


def accuracy(path: ArchPath) -> float:
    return (10 + sum(p * c for p, c in zip(PAYS, path, strict=True))) / 40


def values(paths: list[ArchPath]) -> NDArray[np.float64]:
    return np.array([[-accuracy(path), MACS(path)] for path in paths]).reshape(len(paths), 2)


def problem(seed: int = 0, most: float | None = None) -> SearchProblem:
    limits = [] if most is None else [Limit(MACS, most)]
    objectives = make_objectives(["accuracy", "macs"], {"macs": MACS}, {"macs": most} if most else {}, 10)
    return SearchProblem(FeasiblePaths(SIZES, limits), objectives, seed)


def make(name: str, problem: SearchProblem, **changes: Any) -> Searcher:
    """As the command makes it from conf/searcher."""
    with hydra.initialize_config_dir(str(CONF / "searcher"), version_base="1.3"):
        settings = hydra.compose(name, [f"++{key}={value}" for key, value in changes.items()])
    return instantiate(settings, _partial_=True)(problem)


def generation(searcher: Searcher) -> list[ArchPath]:
    """Ask and tell once."""
    asked = searcher.ask()
    if asked:
        searcher.tell(asked, values(asked))
    return asked


def every_path() -> list[ArchPath]:
    return list(itertools.product(*map(range, SIZES)))


def true_front() -> NDArray[np.float64]:
    reached = values(every_path())
    return np.unique(reached[front(reached)], axis=0)
