"""The benchmark that a configuration asks for, read from its file."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.benchmarks.benchmark import Benchmark
from src.datasets.dataset import Dataset
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace


def known_benchmark(cfg: DictConfig, dataset: Dataset, space: SearchSpace) -> Benchmark | None:
    """The configured benchmark, if its file is given and it holds for runs of this kind.

    Raises:
        UsageError: the file is missing, or speaks of another space.
    """
    settings = cfg.get("benchmark")
    if not settings or not settings.get("path") or not _holds_for(cfg, dataset):
        return None
    return benchmark_from(settings, space)


def benchmark_from(settings: DictConfig, space: SearchSpace) -> Benchmark:
    """The benchmark of a configuration, read and found to be of the space.

    Raises:
        UsageError: the file is missing or not of its kind, or speaks of another space.
    """
    benchmark: Benchmark = instantiate({key: value for key, value in settings.items() if key != "holds_for"})
    benchmark.runs()  # read now, so that a wrong file is found before training
    if not any(_is_of(space, arch) for arch in benchmark.accuracies()):
        raise UsageError(f"benchmark.path={settings.path} holds no network of {space.name}")
    return benchmark


def _is_of(space: SearchSpace, arch: str) -> bool:
    try:
        space.parse(arch)
    except UsageError:
        return False
    return True


def _holds_for(cfg: DictConfig, dataset: Dataset) -> bool:
    """Whether the run is of the kind that the benchmark's `holds_for` speaks of: data set, image size, any key."""
    facts = {"dataset": dataset.name, "image_size": dataset.image_size}
    asked = cfg.benchmark.get("holds_for") or {}
    return all((facts[key] if key in facts else OmegaConf.select(cfg, key)) == value for key, value in asked.items())
