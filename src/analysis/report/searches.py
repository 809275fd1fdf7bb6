"""Searches read back from their folders, and searchers compared at equal numbers of networks scored.

S seeds. Shares are of the true front's hypervolume, which a benchmark knows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.pareto import between, front, hypervolume
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.runs import read_config
from src.runtime.errors import UsageError
from src.runtime.result import read_result
from src.runtime.result_schemas import SearchResult
from src.runtime.run_folder import ARCHIVE, CONFIG, FRONT, GENERATIONS, LEARNT, SOURCE, TRUE_FRONT, read_json

BASELINE = "random_search"
SIGNS = {"accuracy": -1}
"""Signs that turn objectives into ones to be minimised; 1 for the others."""
LABELS = {
    "moremnas": "MoreMNAS",
    "nsga2": "NSGA-II",
    "nsga2_rl": "NSGA-II, RL mutator",
    "spos_evolution": "SPOS evolution",
    "mnasnet_rl": "MnasNet RL",
    "random_search": "random search",
}
COLOURS = dict(zip(LABELS, ("#0072B2", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#7F7F7F"), strict=True))


@dataclass(frozen=True, eq=False)
class SearchRun:
    """A finished search."""

    folder: Path
    searcher: str
    evaluator: str
    seed: int
    result: SearchResult
    kind: str
    """Text of everything that must be the same for seeds of one searcher: settings, budget, evaluator."""

    @property
    def generations(self) -> pd.DataFrame:
        """generations.csv."""
        return pd.read_csv(self.folder / GENERATIONS)

    @cached_property
    def archive(self) -> pd.DataFrame:
        """archive.csv."""
        return pd.read_csv(self.folder / ARCHIVE, dtype={"arch": str})

    @property
    def front(self) -> pd.DataFrame:
        """front.csv."""
        return pd.read_csv(self.folder / FRONT, dtype={"arch": str})

    @property
    def true_front(self) -> pd.DataFrame:
        """true_front.csv."""
        return pd.read_csv(self.folder / TRUE_FRONT, dtype={"arch": str})

    def share_at(self, models: int) -> float:
        """Share of the true front's hypervolume by the first networks scored; nan if there are fewer than `models`."""
        archive = self.archive
        if len(archive) < models:
            return math.nan
        # The front by what the searcher saw, its hypervolume by the truth
        names, scale = self.result.objectives, self.result.true_front or {}
        seen = archive.iloc[:models]
        chosen = seen.iloc[front(np.stack([SIGNS.get(n, 1) * seen[n].to_numpy(float) for n in names], 1))]
        columns = [-chosen.truth if name in LEARNT else chosen[name] for name in names]
        values = np.stack([column.to_numpy(float) for column in columns], 1)
        scaled = between(values, np.array(scale["low"]), np.array(scale["high"]))
        return hypervolume(scaled) / float(scale["hypervolume"])


def holds_only_searches(root: Path) -> bool:
    """Whether there are searches below a folder, and no training runs."""
    choices = [read_config(path).get("choices") or {} for path in root.rglob(CONFIG)]
    return any("searcher" in each for each in choices) and not any("sampler" in each for each in choices)


def find_searches(root: Path) -> list[SearchRun]:
    """All finished searches below `root` whose true front is known.

    Raises:
        UsageError: there are none, they are of several spaces or objectives, or seeds of one searcher are not alike.
    """
    runs = [run for path in sorted(root.rglob(CONFIG)) if (run := load_search(path.parent)) is not None]
    if not runs:
        raise UsageError(f"runs={root} holds no finished search of a space whose truth a benchmark knows")
    # One table compares one kind of search
    for key in ("search_space", "objectives", "limit"):
        kinds = {str(getattr(run.result, key)) for run in runs}
        if len(kinds) > 1:
            raise UsageError(f"runs={root} mixes searches of {' and '.join(sorted(kinds))}: compare one kind at a time")
    # A seed counts once
    known: dict[tuple[str, str, int], SearchRun] = {}
    for run in runs:
        twin = known.setdefault((run.searcher, run.evaluator, run.seed), run)
        if twin is not run:
            raise UsageError(
                f"{twin.folder} and {run.folder} have one searcher, evaluator and seed: compare one of them"
            )
    # Seeds of one searcher must have been searched alike, or their mean is of nothing
    for run in runs:
        other = next((o for o in runs if (o.searcher, o.evaluator) == (run.searcher, run.evaluator)), run)
        if other.kind != run.kind:
            raise UsageError(
                f"{other.folder} and {run.folder} are of one searcher under other settings, budgets or scores: "
                "compare them apart"
            )
    return runs


def load_search(folder: Path) -> SearchRun | None:
    """The finished search in a folder; None for any other folder, and where no benchmark knows the true front.

    Raises:
        UsageError: a table is missing or empty.
    """
    config, result = read_config(folder / CONFIG), read_result(folder, SearchResult)
    if "searcher" not in (config.get("choices") or {}) or result is None or result.true_hypervolume is None:
        return None
    for name in (ARCHIVE, FRONT, GENERATIONS, TRUE_FRONT):
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            raise UsageError(f"{folder} is damaged: its {name} is missing or empty; make the search again")
    # Everything but the seed that could change what a search reaches
    kind = {key: config.get(key) for key in ("searcher", "budget", "bn", "images", "calibration_images", "batch_size")}
    kind |= {"source": read_json(folder / SOURCE)}
    return SearchRun(folder, result.searcher, result.evaluator, int(result.seed or 0), result, str(kind))


def check_commits(runs: Sequence[SearchRun], mix: bool) -> dict[str, int]:
    """Searches by the commit that they were begun at.

    Raises:
        UsageError: at several, and `mix` is false.
    """
    commits = dict(Counter(str(run.result.commit) for run in runs))
    if len(commits) > 1 and not mix:
        raise UsageError(f"the searches are of {len(commits)} commits: make them again at one, or add mix_commits=true")
    return commits


def budgets_of(runs: Sequence[SearchRun]) -> list[int]:
    """Numbers of networks at which to compare: a quarter, a half and all of what the longest scored."""
    most = max(run.result.models for run in runs)
    return [math.ceil(most / 4), math.ceil(most / 2), most]


def long_table(runs: Iterable[SearchRun], budgets: Sequence[int]) -> pd.DataFrame:
    """A row per search."""
    rows = [
        {
            "evaluator": run.evaluator,
            "searcher": run.searcher,
            "seed": run.seed,
            "models": run.result.models,
            # a search that ended early has the share of its last generation
            **{f"share_at_{models}": run.share_at(min(models, run.result.models)) for models in budgets},
            "front": run.result.front,
            "seconds": run.result.wall_seconds,
            "commit": run.result.commit,
        }
        for run in runs
    ]
    return pd.DataFrame(rows).sort_values(["evaluator", "searcher", "seed"], ignore_index=True)


def compared(table: pd.DataFrame, budgets: Sequence[int]) -> pd.DataFrame:
    """A row per evaluator and searcher: mean shares with 95 % t intervals over seeds, and the gain over random search.

    The gain is at the whole budget, paired by seed.
    """
    # Sorted as the tables list searchers; unknown ones by name
    rows = []
    whole = f"share_at_{budgets[-1]}"
    for (evaluator, searcher), part in table.groupby(["evaluator", "searcher"], sort=False):
        row: dict[str, Any] = {"evaluator": evaluator, "searcher": searcher, "seeds": len(part)}
        row["models"] = float(part.models.mean())
        for models in budgets:
            row[f"at_{models}"] = over_seeds(part[f"share_at_{models}"])
        # The gain over random search, paired by seed
        own = part.set_index("seed")[whole]
        base = table[(table.evaluator == evaluator) & (table.searcher == BASELINE)].set_index("seed")[whole]
        common = own.index.intersection(base.index)
        gain = over_seeds(own[common] - base[common])
        row["gain"] = None if searcher == BASELINE or not len(common) else gain
        rows.append(row)
    order = {name: i for i, name in enumerate(LABELS)}
    return pd.DataFrame(rows).sort_values(
        ["evaluator", "searcher"], key=lambda column: column.map(lambda v: order.get(v, v))
    )
