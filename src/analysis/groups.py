"""Which runs may stand in one table: one search space, data set, budget and recipe; only sampler and seed differ."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.analysis.runs import Run
from src.analysis.style import order
from src.errors import UsageError

UNRELATED = (
    "choices",
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
"""Sections of a run's configuration that cannot change what it learns, or that are compared apart (the budget)."""


@dataclass(frozen=True)
class Group:
    """Runs that are comparable, by method: the sampler, and those of its settings that were varied."""

    title: str
    methods: dict[str, list[Run]]
    confounded: tuple[str, ...]
    """Settings outside the sampler that differ from one method to another."""

    @property
    def runs(self) -> list[Run]:
        """All of them, method by method."""
        return [run for runs in self.methods.values() for run in runs]

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
    """One group for each search space, data set, budget and value of a setting varied beside the sampler's own."""
    varied = _varied_within_samplers(runs)
    outside = [key for key in varied if not key.startswith("sampler.")]
    parts: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        flat = flatten(run.config)
        parts[run.search_space, run.dataset, budget(run), *_words(_pick(flat, outside))].append(run)
    return [_group(key, members, varied) for key, members in sorted(parts.items())]


def _group(key: tuple[str, ...], runs: Sequence[Run], varied: Sequence[str]) -> Group:
    space, dataset, *settings = key  # the budget first among the settings
    inside = [name for name in varied if name.startswith("sampler.")]
    methods: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.seed, run.name)):
        methods[_method(run, inside)].append(run)
    ordered = {method: methods[method] for method in order(methods)}
    return Group(", ".join([f"{space} on {dataset}", *filter(None, settings)]), ordered, _confounded(runs, varied))


def _method(run: Run, varied: Sequence[str]) -> str:
    """`strict_fair`, or `strict_fair (irregular=pad)` where that setting was varied among the sampler's runs."""
    words = _words(_pick(flatten(run.config), varied), strip="sampler.")
    return f"{run.sampler} ({', '.join(words)})" if words else run.sampler


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


def _varied_within_samplers(runs: Iterable[Run]) -> list[str]:
    """Settings with more than one value among the runs of one sampler, seeds and unrelated sections apart."""
    by_sampler: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_sampler[run.sampler].append(run)
    return sorted({key for members in by_sampler.values() for key in _varied(members)})


def _confounded(runs: Sequence[Run], varied: Sequence[str]) -> tuple[str, ...]:
    return tuple(key for key in _varied(runs) if not key.startswith("sampler.") and key not in varied)


def _varied(runs: Sequence[Run]) -> list[str]:
    """Settings on which the runs differ."""
    flats = [flatten(run.config) for run in runs]
    keys = {key for flat in flats for key in flat if key.split(".")[0] not in UNRELATED and not key.endswith("seed")}
    return sorted(key for key in keys if len({repr(flat.get(key)) for flat in flats}) > 1)


def _pick(flat: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: flat[key] for key in keys if key in flat}


def _words(settings: Mapping[str, Any], strip: str = "") -> list[str]:
    return [f"{key.removeprefix(strip)}={value}" for key, value in settings.items()]
