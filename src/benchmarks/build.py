"""Reads the benchmark that a configuration asks for."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.benchmarks.benchmark import Benchmark
from src.datasets.dataset import Dataset
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace


def known_benchmark(cfg: DictConfig, dataset: Dataset, space: SearchSpace) -> Benchmark | None:
    """The configured benchmark, if it has a file and holds for a run of this data set, image size and other keys.

    Raises:
        UsageError: the file is missing, or is of another space.
    """
    settings = cfg.get("benchmark")
    if not settings or not settings.get("path"):
        return None
    # `holds_for` names what a run must have so that the benchmark's accuracies are its ground truth
    facts = {"dataset": dataset.name, "image_size": dataset.image_size}
    for key, value in (settings.get("holds_for") or {}).items():
        if (facts[key] if key in facts else OmegaConf.select(cfg, key)) != value:
            return None
    return benchmark_from(settings, space)


def benchmark_from(settings: DictConfig, space: SearchSpace) -> Benchmark:
    """The benchmark of a configuration, read and checked to hold networks of the space.

    Raises:
        UsageError: the file is missing, of another kind, or of another space.
    """
    benchmark: Benchmark = instantiate({key: value for key, value in settings.items() if key != "holds_for"})
    benchmark.runs()  # read now, so that a wrong file is refused before training
    if not any(space.reads(arch) for arch in benchmark.accuracies()):
        raise UsageError(f"benchmark.path={settings.path} holds no network of {space.name}")
    return benchmark
