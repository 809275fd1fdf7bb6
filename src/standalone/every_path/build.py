"""Reads a ground truth's configuration: space, data set and recipe, built once in every process, and typed settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.datasets.dataset import Dataset
from src.runtime.provenance import store_provenance
from src.runtime.resume import store
from src.search_spaces.space import SearchSpace
from src.standalone.bare_loop import Recipe
from src.standalone.every_path.networks import chosen_networks
from src.supernet.path import ArchPath


@dataclass(frozen=True)
class GroundTruthSettings:
    """The trainings of a ground truth: networks of a space with seeds 0 to `seeds` - 1."""

    spec: str
    """The configuration as YAML, from which worker processes build space, data set and recipe."""
    seeds: int
    workers: int
    """Processes that train side by side."""
    paths: list[ArchPath]
    """The networks, in lexicographic order."""


class Subject(NamedTuple):
    """The space whose paths are trained, on which images, and how."""

    space: SearchSpace
    dataset: Dataset
    recipe: Recipe


def build(cfg: DictConfig, folder: Path) -> GroundTruthSettings:
    """The settings; everything is built once to refuse bad input before anything is trained, then stored.

    Raises:
        UsageError: a space too large, images that do not fit it, a batch larger than the training part.
    """
    spec = OmegaConf.to_yaml(cfg, resolve=True)
    space, dataset, recipe = build_subject(spec)
    # Each of these refuses: a space with too many paths, too small images, a batch that no epoch fills.
    paths = chosen_networks(space, cfg.paths, cfg.whole_subset, cfg.sample_seed)
    space.check_input(dataset.input_spec)
    dataset.train_loader(recipe.batch_size, 1, 0, torch.device("cpu"))
    # Written last: a folder with a config.yaml holds a ground truth that can be resumed.
    store(cfg, folder, "ground_truth")
    store_provenance(folder, "cpu, 1 thread a worker", dataset.name)
    return GroundTruthSettings(spec, cfg.seeds, cfg.workers, paths)


@lru_cache(maxsize=1)
def build_subject(spec: str) -> Subject:
    """Space, data set and recipe of a configuration as YAML; built once per process, which is set to one thread."""
    # The workers share the cores, and sums depend on the number of threads.
    torch.set_num_threads(1)
    cfg = OmegaConf.create(spec)
    return Subject(instantiate(cfg.search_space), instantiate(cfg.dataset), Recipe(**cfg.recipe_alone))
