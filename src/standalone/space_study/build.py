"""Reads the configuration of an evaluation of Elite Spaces: the searches, and the settings of the comparison."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from src.runtime.elite_space import ELITE_SPACE, ranges_of
from src.runtime.errors import UsageError
from src.runtime.provenance import store_provenance
from src.runtime.resume import store
from src.runtime.run_folder import RESULT
from src.runtime.stored_run import read_config
from src.search_spaces.expanded import Expanded
from src.search_spaces.network_spaces import NetworkSpaces
from src.standalone.every_path.build import build_subject
from src.standalone.space_study.spaces import Search
from src.standalone.space_study.study import SpaceStudySettings

SAME = ("search_space", "partition", "dataset", "image_size")
"""Sections that searches share with their evaluation."""


def build(cfg: DictConfig, folder: Path) -> SpaceStudySettings:
    """The settings, stored as well.

    Raises:
        UsageError: no searches, searches of another space, partition, data set or cost, or two of one target and seed.
    """
    spec = OmegaConf.to_yaml(cfg, resolve=True)
    space, dataset, recipe = build_subject(spec)
    if not isinstance(space, Expanded):
        raise UsageError(f"experiment=nss_evaluation compares network spaces, which {space.name} has none of")
    searches, of = read_searches(cfg)
    dataset.train_loader(recipe.batch_size, 1, 0, torch.device("cpu"))
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
    )


def read_searches(cfg: DictConfig) -> tuple[list[Search], str]:
    """The finished network space searches at or below study.searches, and what they cost networks by."""
    root = cfg.study.searches
    files = sorted(Path(root).rglob(ELITE_SPACE)) if root is not None else []
    folders = [file.parent for file in files if (file.parent / RESULT).exists()]
    if not folders:
        raise UsageError(f"study.searches={root}: give a folder of finished runs of experiment=nss")
    searches, kinds = [], set()
    for folder in folders:
        run = read_config(folder, "train")
        for key in SAME:
            if (own := run.get(key)) != (asked := cfg.get(key)):
                raise UsageError(f"study.searches: {folder} has {key} {own}, and this evaluation {asked}: say the same")
        ranges = ranges_of(str(folder))
        assert ranges is not None
        searches.append(Search(str(folder), run.seed, float(run.cost.target), tuple(ranges)))
        kinds.add(str(run.cost.of))
    twice = [s for s in searches if sum((s.target, s.seed) == (other.target, other.seed) for other in searches) > 1]
    if twice:
        raise UsageError(
            f"study.searches: {twice[0].name} and {twice[1].name} have one target and seed: give a folder of one method"
        )
    if len(kinds) > 1:
        raise UsageError(f"study.searches={root}: targets of {' and '.join(sorted(kinds))} cannot be compared")
    return searches, kinds.pop()
