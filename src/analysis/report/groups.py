"""Groups of comparable runs: one search space, data set, budget and recipe.

Only sampler, order of images, inter-choice weights and seed differ within a group.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.analysis.report import methods
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import order
from src.runtime.errors import UsageError

UNRELATED = (
    "choices",
    "inter_choice",
    "hydra",
    "logger",
    "wandb",
    "trainer",
    "budget",
    "resume",
    "checkpoint",
    "save_every",
    "journal",
    "ablation_passes",
    "ensemble_passes",
    "ensemble_lr",
    "supernet_label_smoothing",
)
"""Sections of a run's configuration that cannot change what it learns, or that are compared apart: the budget, and the
inter-choice weights, which are part of the method's name. Passes and learning rate of an experiment are in the budget
and the optimizer too, a supernet's label smoothing in the step."""

OWN = ("sampler.", "order.")
"""Settings of the method itself, by which it is named where they vary."""

REFERENCE = "strict_fair"
"""The method that others are compared with where they all train plain supernets."""


@dataclass(frozen=True)
class Group:
    """Runs that are comparable, by method; analysis/report/methods.py says how these are named."""

    title: str
    methods: dict[str, list[TrainingRun]]
    confounded: tuple[str, ...]
    """Settings outside the sampler and the inter-choice weights that differ from one method to another."""
    ensemble_size: int | None = None
    """Supernets of each ensemble that a method's seeds are shared out to; None: no such ensembles."""

    @property
    def runs(self) -> list[TrainingRun]:
        """All of them, method by method."""
        return [run for runs in self.methods.values() for run in runs]

    @property
    def ranked_by(self) -> str:
        """The score that ranks the paths in all tables and curves, that of the first run."""
        return self.runs[0].ranked_by

    @property
    def has_weights(self) -> bool:
        """Whether inter-choice weights tell the methods apart."""
        return any(methods.parts(method).weights for method in self.methods)

    def reference(self, method: str) -> str | None:
        """The method to compare with: the same sampler in a plain supernet if weights vary, else strict fairness."""
        reference = methods.without_weights(method) if self.has_weights else REFERENCE
        return reference if reference in self.methods and reference != method else None

    @property
    def slug(self) -> str:
        """The title as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def check_commits(runs: Sequence[TrainingRun], mix_commits: bool = False) -> dict[str, int]:
    """Runs per commit, one that was resumed from another commit under both; one with no commit on file yet under none.

    Raises:
        UsageError: more than one commit, and `mix_commits` not set.
    """
    # A finished run without a commit on file is of an unknown one; one that has just begun may yet write it
    commits = Counter(commit for run in runs for commit in run.commits or ["unknown"] * run.finished)
    if len(commits) > 1 and not mix_commits:
        each = ", ".join(f"{commit[:10]} ({count} run{'s' * (count > 1)})" for commit, count in commits.most_common())
        raise UsageError(
            f"these runs come from {len(commits)} commits: {each}; mix_commits=true compares them all the same"
        )
    return dict(commits)


def group_runs(runs: Sequence[TrainingRun], ensemble_size: int | None = None) -> list[Group]:
    """One group for each search space, data set, budget and value of a setting varied beside the methods' own."""
    weights = methods.all_weights(runs)
    # Settings that vary within a method's runs split the table; those tied to the method are reported as confounded
    within = varied_within(runs, lambda run: (methods.drawn_by(run), weights[run]))
    outside = [key for key in within if not key.startswith(OWN)]
    common = set(weights.values()).pop() if len(set(weights.values())) == 1 else ""
    # Everything in the key must be the same for runs of one table
    keys = {run: (run.search_space, run.dataset, budget(run), common, *words(run, outside)) for run in runs}
    parts: dict[tuple[str, ...], list[TrainingRun]] = defaultdict(list)
    for run, key in keys.items():
        parts[key].append(run)
    # A method is named by its sampler, by those of its settings that vary in a table, and by its weights where these do
    varied = [
        each for each in varied_within(runs, lambda run: (keys[run], methods.drawn_by(run))) if each.startswith(OWN)
    ]
    names = {
        run: methods.name(run, words(run, varied, strip="sampler."), "" if common else weights[run]) for run in runs
    }
    # One group for each key, methods in the tables' order
    groups = []
    for (space, dataset, *settings), members in sorted(parts.items()):
        by_method: dict[str, list[TrainingRun]] = defaultdict(list)
        for run in sorted(members, key=lambda run: (run.seed, run.name)):
            by_method[names[run]].append(run)
        half = f"{members[0].half} half of the networks" if members[0].half else None
        title = ", ".join([f"{space} on {dataset}", *filter(None, [*settings, half])])
        ordered = {method: by_method[method] for method in order(by_method)}
        confounded = [key for key in varying(members) if not key.startswith(OWN) and key not in outside]
        groups.append(Group(title, ordered, tuple(confounded), ensemble_size))
    return groups


def budget(run: TrainingRun) -> str:
    """The run's budget: `60 epochs`, `1,200 steps` or `3,600 backward passes`; the recipe's epochs if none is set."""
    limits = {key: value for key, value in (run.config.get("budget") or {}).items() if value is not None}
    limits = limits or {"epochs": (run.config.get("recipe") or {}).get("epochs")}
    return " and ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in limits.items() if value is not None)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{a: {b: 1}}` as `{"a.b": 1}`; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def varied_within(runs: Iterable[TrainingRun], key: Callable[[TrainingRun], Hashable]) -> list[str]:
    """Settings with more than one value among runs of one key, seeds and unrelated sections apart."""
    parts: dict[Hashable, list[TrainingRun]] = defaultdict(list)
    for run in runs:
        parts[key(run)].append(run)
    return sorted({setting for members in parts.values() for setting in varying(members)})


def varying(runs: Sequence[TrainingRun]) -> list[str]:
    """Settings on which the runs differ, seeds and unrelated sections apart."""
    # Compared by repr, for lists cannot be hashed
    flats = [flatten(run.config) for run in runs]
    keys = {key for flat in flats for key in flat if key.split(".")[0] not in UNRELATED and not key.endswith("seed")}
    return sorted(key for key in keys if len({repr(flat.get(key)) for flat in flats}) > 1)


def words(run: TrainingRun, keys: Iterable[str], strip: str = "") -> list[str]:
    """`key=value` texts of those settings that the run has."""
    flat = flatten(run.config)
    return [f"{key.removeprefix(strip)}={flat[key]}" for key in keys if key in flat]
