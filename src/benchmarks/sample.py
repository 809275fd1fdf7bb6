"""Which paths of a space to score, where a benchmark may know a part of its networks alone."""

from __future__ import annotations

import torch

from src.benchmarks.benchmark import Benchmark
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath

BENCHMARK = "benchmark"
"""In place of a number of paths: all that the benchmark knows."""


def known_paths(space: SearchSpace, benchmark: Benchmark | None) -> list[ArchPath]:
    """The path of each network of the space that the benchmark knows, in the benchmark's order."""
    archs = benchmark.accuracies() if benchmark is not None else {}
    return list(dict.fromkeys(space.parse(arch) for arch in archs if space.reads(arch)))


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
    known = known_paths(space, benchmark)
    if wanted == BENCHMARK:
        if not known:
            raise UsageError(f"{option}={BENCHMARK}: there is no benchmark here, so give all or a number")
        return known
    generator, count = torch.Generator().manual_seed(seed), int(wanted)
    # of a benchmark that knows all, or nothing, paths are drawn without listing them
    if not 0 < len(known) < space.count:
        return space.sample_distinct(count, generator)
    return [known[i] for i in torch.randperm(len(known), generator=generator)[:count].tolist()]
