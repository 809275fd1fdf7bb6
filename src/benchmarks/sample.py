"""Which paths of a space to score, where a benchmark may know a part of its networks alone."""

from __future__ import annotations

import torch

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.join import spellings
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath

BENCHMARK = "benchmark"
"""In place of a number of paths: all that the benchmark knows."""


def known_paths(space: SearchSpace, benchmark: Benchmark | None) -> list[ArchPath]:
    """The path of each network of the space that the benchmark knows, in the benchmark's order."""
    return list(map(space.parse, spellings(space, benchmark.accuracies()))) if benchmark is not None else []


def paths_to_score(
    wanted: int | str, space: SearchSpace, benchmark: Benchmark | None, seed: int, option: str
) -> list[ArchPath]:
    """`all` paths, those of the `benchmark`, or a fixed random sample of so many, which the benchmark knows.

    `option` is the key that wanted them.

    Raises:
        UsageError: too many to list, or those of a benchmark that is not there.
    """
    if wanted == "all":
        return space.all_paths(f"{option}=all")
    # a benchmark of as many rows as there are paths knows all, and is not gone through
    is_whole = benchmark is not None and len(benchmark.accuracies()) >= space.count
    known = known_paths(space, benchmark) if wanted == BENCHMARK or not is_whole else []
    if wanted == BENCHMARK:
        if not known:
            raise UsageError(f"{option}={BENCHMARK}: there is no benchmark here, so give all or a number")
        return known
    generator, count = torch.Generator().manual_seed(seed), int(wanted)
    if not 0 < len(known) < space.count:
        return space.sample_distinct(count, generator)
    return [known[i] for i in torch.randperm(len(known), generator=generator)[:count].tolist()]
