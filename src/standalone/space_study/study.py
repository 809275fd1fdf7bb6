"""Are Elite Spaces better than other spaces of their cost? Networks of each are trained alone, and compared.

networks.csv holds what was drawn from each space, candidates.csv what each search's own supernet made of a few networks
an arm, runs.csv the trainings, spaces.csv and result.json the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from src.runtime.run_folder import replace_file
from src.runtime.seeds import mix
from src.search_spaces.network_spaces import NetworkSpaces
from src.standalone.every_path.loop import train_missing
from src.standalone.space_study.result import write_results
from src.standalone.space_study.spaces import (
    BEST,
    ELITE,
    ELITE_UNCONDITIONED,
    WHOLE,
    Search,
    Space,
    compared_spaces,
    draw_networks,
    indices,
    share_of_hits,
)
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.training.trained_supernet import load_trained_supernet

NETWORKS, CANDIDATES = "networks.csv", "candidates.csv"
CANDIDATE_COLUMNS = ("target", "search", "arm", "arch", "accuracy", "loss", "params", "macs")
SEARCHED = (ELITE, BEST, WHOLE)
"""Arms in which a network is searched."""
BN = "recalibrate"


@dataclass(frozen=True)
class SpaceStudySettings:
    """Which Elite Spaces are compared with what, and how networks are trained."""

    spec: str
    """The configuration as YAML, from which worker processes build space, data set and recipe."""
    workers: int
    seeds: int
    """Trainings of each network that a search picks; others are trained once."""
    spaces: NetworkSpaces
    of: str
    """The cost of the searches' targets."""
    searches: Sequence[Search]
    networks: int
    """Networks of each space."""
    rivals: int
    """Spaces of equal cost, for each target."""
    candidates: int
    """Networks that a supernet scores to pick one."""
    seed: int
    """Of all draws."""
    root: str | None
    """Where images of a folder lie."""


def run_space_study(settings: SpaceStudySettings, folder: Path) -> None:
    """Draw, score, train what is missing, and compare; killed, it goes on by the same command."""
    compared = compared_spaces(settings.spaces, settings.of, settings.searches, settings.rivals, settings.seed)
    # Networks of each space. All draws are fixed by the seed, so a resumed study draws the same.
    networks = pd.DataFrame(
        [row for each in compared.values() for space in each for row in drawn_rows(settings, space)]
    )
    replace_file(folder / NETWORKS, networks.to_csv(index=False, lineterminator="\n"))
    # Search: a few networks of each arm, scored by the supernet of each search, in seconds and anew at every start
    candidates = pd.DataFrame(
        [row for search in settings.searches for row in scored_candidates(settings, search, compared[search.target])],
        columns=list(CANDIDATE_COLUMNS),
    )
    replace_file(folder / CANDIDATES, candidates.to_csv(index=False, lineterminator="\n"))
    best = candidates.sort_values(["accuracy", "loss"], ascending=[False, True], kind="stable")
    picked = best.groupby(["target", "search", "arm"], sort=False).head(1)
    # Trainings: all networks once, those picked as often as there are seeds
    jobs = [(arch, 0) for arch in dict.fromkeys(networks["arch"])]
    jobs += [(arch, seed) for seed in range(settings.seeds) for arch in dict.fromkeys(picked["arch"])]
    train_missing(settings.spec, settings.workers, list(dict.fromkeys(jobs)), folder)
    write_results(settings.spec, settings.of, settings.seeds, networks, picked, folder)


def drawn_rows(settings: SpaceStudySettings, space: Space) -> list[dict[str, object]]:
    """A row for each network drawn from a space."""
    spaces, of = settings.spaces, settings.of
    numbers = None if space.ranges is None else indices(spaces, space.ranges)
    # what the space is worth by counting, beside the networks
    hits = share_of_hits(spaces, of, space.target, numbers)
    conditioned = space.arm != ELITE_UNCONDITIONED
    rows: list[dict[str, object]] = []
    for path in draw_networks(spaces, of, space, settings.networks, settings.seed, conditioned):
        about = {"target": space.target, "arm": space.arm, "space": space.name, "search": space.search, "hits": hits}
        costs = spaces.space.costs(path, spaces.input_spec)._asdict()
        rows.append({**about, "arch": spaces.space.format(path), **costs})
    return rows


def scored_candidates(
    settings: SpaceStudySettings, search: Search, compared: Sequence[Space]
) -> list[dict[str, object]]:
    """Candidates of each arm with their scores under the search's own supernet, BN statistics recalibrated."""
    trained = load_trained_supernet(search.name, torch.device("cpu"), root=settings.root)
    scoring = ScoringSettings(temperature=trained.cfg.ranking.temperature)
    evaluator = Evaluator(trained.net, trained.dataset, torch.device("cpu"), BN, scoring)
    # equally many networks near the target for each arm, drawn for this alone
    seed = mix(settings.seed, search.seed, 1)
    rows: list[dict[str, object]] = []
    for space in compared:
        # the Elite Space of another search is none of this one's arms
        if space.arm not in SEARCHED or space.search not in (None, search.name):
            continue
        paths = draw_networks(settings.spaces, settings.of, space, settings.candidates, seed)
        for path, score in evaluator.scores(paths):
            costs = trained.space.costs(path, trained.input_spec)._asdict()
            names = {"target": search.target, "search": search.name, "arm": space.arm}
            rows.append({**names, "arch": trained.space.format(path), **score._asdict(), **costs})
    return rows
