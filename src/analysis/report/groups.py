"""Which runs may stand in one table: one search space, data set, budget and recipe.

Only sampler, inter-choice weights and seed differ.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.analysis.report import methods
from src.analysis.report.runs import Run
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
)
"""Sections of a run's configuration that cannot change what it learns, or that are compared apart: the budget, and the
inter-choice weights, which are part of the method's name."""

REFERENCE = "strict_fair"
"""The method that others are compared with where they all train plain supernets."""


@dataclass(frozen=True)
class Group:
    """Runs that are comparable, by method; analysis/report/methods.py says how these are named."""

    title: str
    methods: dict[str, list[Run]]
    confounded: tuple[str, ...]
    """Settings outside the sampler and the inter-choice weights that differ from one method to another."""

    @property
    def runs(self) -> list[Run]:
        """All of them, method by method."""
        return [run for runs in self.methods.values() for run in runs]

    @property
    def has_weights(self) -> bool:
        """Whether inter-choice weights tell the methods apart."""
        return any(methods.parts(method).weights for method in self.methods)

    def reference(self, method: str) -> str | None:
        """What `method` is compared with: its sampler in a plain supernet if weights vary, else strict fairness."""
        reference = methods.without_weights(method) if self.has_weights else REFERENCE
        return reference if reference in self.methods and reference != method else None

    @property
    def slug(self) -> str:
        """The title as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def check_commits(runs: Sequence[Run], mix_commits: bool = False) -> dict[str, int]:
    """Runs per commit, one that was resumed from another commit under both; one with no commit on file yet under none.

    Raises:
        UsageError: more than one commit, and `mix_commits` not set.
    """
    found = Counter(commit for run in runs for commit in run.commits or ["unknown"] * run.finished)
    if len(found) > 1 and not mix_commits:
        each = ", ".join(f"{commit[:10]} ({count} run{'s' * (count > 1)})" for commit, count in found.most_common())
        raise UsageError(
            f"these runs come from {len(found)} commits: {each}; mix_commits=true compares them all the same"
        )
    return dict(found)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """One group for each search space, data set, budget and value of a setting varied beside the methods' own."""
    weights = methods.all_weights(runs)
    outside = [
        key for key in _varied_within(runs, lambda run: (run.sampler, weights[run])) if not key.startswith("sampler.")
    ]
    common = set(weights.values()).pop() if len(set(weights.values())) == 1 else ""
    parts: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        settings = _words(_pick(flatten(run.config), outside))
        parts[run.search_space, run.dataset, budget(run), common, *settings].append(run)
    names = _names(runs, {} if common else weights)
    return [_group(key, members, names, outside) for key, members in sorted(parts.items())]


def _names(runs: Sequence[Run], weights: Mapping[Run, str]) -> dict[Run, str]:
    """The method of each run: sampler settings are named where they vary among the runs of one sampler."""
    varied = [key for key in _varied_within(runs, lambda run: run.sampler) if key.startswith("sampler.")]
    settings = {run: _words(_pick(flatten(run.config), varied), strip="sampler.") for run in runs}
    return {run: methods.name(run, settings[run], weights.get(run, "")) for run in runs}


def _group(key: tuple[str, ...], runs: Sequence[Run], names: Mapping[Run, str], outside: Sequence[str]) -> Group:
    space, dataset, *settings = key  # budget and common weights first among the settings
    found: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.seed, run.name)):
        found[names[run]].append(run)
    ordered = {method: found[method] for method in order(found)}
    return Group(", ".join([f"{space} on {dataset}", *filter(None, settings)]), ordered, _confounded(runs, outside))


def budget(run: Run) -> str:
    """What the run was given: `60 epochs`, `1,200 steps` or `3,600 backward passes`; the recipe's epochs if nothing."""
    given = {key: value for key, value in (run.config.get("budget") or {}).items() if value is not None}
    given = given or {"epochs": (run.config.get("recipe") or {}).get("epochs")}
    return " and ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in given.items() if value is not None)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{a: {b: 1}}` as `{"a.b": 1}`; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _varied_within(runs: Iterable[Run], key: Callable[[Run], Hashable]) -> list[str]:
    """Settings with more than one value among runs of one key, seeds and unrelated sections apart."""
    parts: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        parts[key(run)].append(run)
    return sorted({setting for members in parts.values() for setting in _varied(members)})


def _confounded(runs: Sequence[Run], outside: Sequence[str]) -> tuple[str, ...]:
    return tuple(key for key in _varied(runs) if not key.startswith("sampler.") and key not in outside)


def _varied(runs: Sequence[Run]) -> list[str]:
    """Settings on which the runs differ."""
    flats = [flatten(run.config) for run in runs]
    keys = {key for flat in flats for key in flat if key.split(".")[0] not in UNRELATED and not key.endswith("seed")}
    return sorted(key for key in keys if len({repr(flat.get(key)) for flat in flats}) > 1)


def _pick(flat: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: flat[key] for key in keys if key in flat}


def _words(settings: Mapping[str, Any], strip: str = "") -> list[str]:
    return [f"{key.removeprefix(strip)}={value}" for key, value in settings.items()]
