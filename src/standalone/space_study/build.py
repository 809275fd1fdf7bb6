"""Reads the configuration of an evaluation of Elite Spaces: the searches, and the settings of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from src.runtime.elite_space import ELITE_SPACE, ranges_of
from src.runtime.errors import UsageError
from src.runtime.provenance import store_provenance
from src.runtime.resume import APART, first_difference, leaves, store
from src.runtime.run_folder import RESULT
from src.runtime.stored_run import read_config
from src.search_spaces.expanded import Expanded
from src.search_spaces.network_spaces import NetworkSpaces
from src.standalone.every_path.build import build_subject
from src.standalone.space_study.spaces import Search
from src.standalone.space_study.study import SpaceStudySettings

SAME = ("search_space", "partition", "dataset", "image_size")
"""Sections that searches share with their evaluation."""
METHOD = ("sampler", "cost", "optimizer", "step", "budget", "batch_size", "schedule", "inter_choice")
"""Sections that searches share with each other, but for the target."""
TARGET = ("cost.target", "sampler.cost.target")
"""In which searches may differ."""


def build(cfg: DictConfig, folder: Path) -> SpaceStudySettings:
    """The settings, stored as well.

    Raises:
        UsageError: no searches, searches of another space, partition, data set or cost, or two of one target and seed.
    """
    # each of these refuses: a space of operations, no or unlike searches, a batch that no epoch fills
    spec = OmegaConf.to_yaml(cfg, resolve=True)
    space, dataset, recipe = build_subject(spec)
    if not isinstance(space, Expanded):
        raise UsageError(f"experiment=nss_evaluation compares network spaces, which {space.name} has none of")
    searches, of = read_searches(cfg)
    dataset.train_loader(recipe.batch_size, 1, 0, torch.device("cpu"))
    # written last: a folder with a config.yaml holds a study that can be resumed
    store(cfg, folder, "ground_truth")
    store_provenance(folder, "cpu, 1 thread a worker", dataset.name)
    return SpaceStudySettings(
        spec=spec,
        workers=cfg.workers,
        seeds=cfg.seeds,
        spaces=NetworkSpaces.of(space, cfg.partition, dataset.input_spec),
        of=of,
        searches=searches,
        networks=cfg.study.networks,
        rivals=cfg.study.rivals,
        candidates=cfg.study.candidates,
        seed=cfg.sample_seed,
        root=cfg.dataset.get("root"),
    )


def read_searches(cfg: DictConfig) -> tuple[list[Search], str]:
    """The finished network space searches at or below study.searches, and what they cost networks by."""
    root = cfg.study.searches
    # a run without a result is still going, or was stopped
    files = sorted(Path(root).rglob(ELITE_SPACE)) if root is not None else []
    folders = [file.parent for file in files if (file.parent / RESULT).exists()]
    if not folders:
        raise UsageError(f"study.searches={root}: give a folder of finished runs of experiment=nss")
    searches, first = [], read_config(folders[0], "train")
    for folder in folders:
        run = read_config(folder, "train")
        refuse_difference(folder, run, "this evaluation", cfg, SAME)
        refuse_difference(folder, run, str(folders[0]), first, METHOD)
        ranges = ranges_of(str(folder))
        assert ranges is not None
        searches.append(Search(str(folder), run.seed, float(run.cost.target), tuple(ranges)))
    # two of one target and seed are of two methods
    twice = [s for s in searches if sum((s.target, s.seed) == (other.target, other.seed) for other in searches) > 1]
    if twice:
        raise UsageError(
            f"study.searches: {twice[0].name} and {twice[1].name} have one target and seed: give a folder of one method"
        )
    return searches, str(first.cost.of)


def refuse_difference(folder: Path, run: DictConfig, name: str, other: DictConfig, sections: Sequence[str]) -> None:
    """Refuse a run with other values than `other` in some sections, but for the target.

    Raises:
        UsageError: names the first key that differs.
    """
    difference = first_difference(leaves(run), leaves(other), sections, (*APART, *TARGET))
    if difference is not None:
        key, own, theirs = difference
        raise UsageError(
            f"study.searches: {folder} has {key}={own}, and {name} {theirs}: searches and evaluation must be of one "
            "space, data set and method"
        )
