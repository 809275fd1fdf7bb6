"""Searches read back from their folders, and how searchers compare at equal numbers of networks scored.

S seeds. Shares are of the true front's hypervolume, which a benchmark knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from src.analysis.runs import read_config, read_json
from src.errors import UsageError
from src.run_folder import CONFIG, RESULT
from src.searching.archive import ARCHIVE, FRONT, GENERATIONS

BASELINE = "random_search"
LABELS = {
    "moremnas": "MoreMNAS",
    "nsga2": "NSGA-II",
    "nsga2_rl": "NSGA-II, RL mutator",
    "spos_evolution": "SPOS evolution",
    "mnasnet_rl": "MnasNet RL",
    "random_search": "random search",
}
COLOURS = dict(zip(LABELS, ("#0072B2", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#7F7F7F"), strict=True))


@dataclass(frozen=True)
class SearchRun:
    """A finished search."""

    folder: Path
    searcher: str
    evaluator: str
    seed: int
    result: dict[str, Any]

    @property
    def generations(self) -> pd.DataFrame:
        """generations.csv."""
        return pd.read_csv(self.folder / GENERATIONS)

    @property
    def archive(self) -> pd.DataFrame:
        """archive.csv."""
        return pd.read_csv(self.folder / ARCHIVE, dtype={"arch": str})

    @property
    def front(self) -> pd.DataFrame:
        """front.csv."""
        return pd.read_csv(self.folder / FRONT, dtype={"arch": str})

    def share_at(self, models: int) -> float:
        """The last generation that had scored no more than so many; nan before the first."""
        known = self.generations
        known = known[known.models <= models]
        return float(known.true_hypervolume.iloc[-1]) if len(known) else math.nan


def holds_only_searches(root: Path) -> bool:
    """Whether there are searches below a folder, and no training runs."""
    choices = [read_config(path).get("choices") or {} for path in root.rglob(CONFIG)]
    return any("searcher" in each for each in choices) and not any("sampler" in each for each in choices)


def find_searches(root: Path) -> list[SearchRun]:
    """All finished searches below `root` whose true front is known.

    Raises:
        UsageError: there are none, or they are of several spaces or objectives.
    """
    found = [run for path in sorted(root.rglob(CONFIG)) if (run := _load(path.parent)) is not None]
    if not found:
        raise UsageError(f"runs={root} holds no finished search of a space whose truth a benchmark knows")
    for key in ("search_space", "objectives", "limit"):
        kinds = {str(run.result[key]) for run in found}
        if len(kinds) > 1:
            raise UsageError(
                f"runs={root} mixes searches of {' and '.join(sorted(kinds))}: compare one {key} at a time"
            )
    known: dict[tuple[str, str, int], SearchRun] = {}
    for run in found:
        twin = known.setdefault((run.searcher, run.evaluator, run.seed), run)
        if twin is not run:
            raise UsageError(f"{twin.folder} and {run.folder} are the same search: a seed counts once, so remove one")
    return found


def _load(folder: Path) -> SearchRun | None:
    config, result = read_config(folder / CONFIG), read_json(folder / RESULT)
    if "searcher" not in (config.get("choices") or {}) or not result or result.get("true_hypervolume") is None:
        return None
    return SearchRun(folder, result["searcher"], result["evaluator"], int(result["seed"]), result)


def budgets_of(runs: Sequence[SearchRun]) -> list[int]:
    """Numbers of networks at which to compare: a quarter, a half and all of the most that any scored."""
    most = max(run.result["models"] for run in runs)
    return [math.ceil(most / 4), math.ceil(most / 2), most]


def long_table(runs: Iterable[SearchRun], budgets: Sequence[int]) -> pd.DataFrame:
    """A row per search."""
    rows = [
        {
            "evaluator": run.evaluator,
            "searcher": run.searcher,
            "seed": run.seed,
            "models": run.result["models"],
            **{f"share_at_{models}": run.share_at(models) for models in budgets},
            "front": run.result["front"],
            "seconds": run.result["wall_seconds"],
            "commit": run.result["commit"],
        }
        for run in runs
    ]
    return pd.DataFrame(rows).sort_values(["evaluator", "searcher", "seed"], ignore_index=True)


def compared(table: pd.DataFrame, budgets: Sequence[int]) -> pd.DataFrame:
    """A row per evaluator and searcher: mean shares with 95 % t intervals over seeds, and the gain over random search.

    The gain is at the whole budget, paired by seed.
    """
    rows = []
    for (evaluator, searcher), part in table.groupby(["evaluator", "searcher"], sort=False):
        row: dict[str, Any] = {"evaluator": evaluator, "searcher": searcher, "seeds": len(part)}
        row["models"] = float(part.models.mean())
        for models in budgets:
            row[f"at_{models}"] = Interval.of(part[f"share_at_{models}"])
        row["gain"] = _gain(table[table.evaluator == evaluator], part, f"share_at_{budgets[-1]}")
        rows.append(row)
    found = pd.DataFrame(rows)
    order = {name: i for i, name in enumerate(LABELS)}
    return found.sort_values(["evaluator", "searcher"], key=lambda column: column.map(lambda v: order.get(v, v)))


def _gain(everyone: pd.DataFrame, part: pd.DataFrame, column: str) -> Interval | None:
    base = everyone[everyone.searcher == BASELINE].set_index("seed")[column]
    own = part.set_index("seed")[column]
    common = own.index.intersection(base.index)
    if part.searcher.iloc[0] == BASELINE or not len(common):
        return None
    return Interval.of(own[common] - base[common])


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % t interval; nan bounds for one seed."""

    mean: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float]) -> Interval:
        """Of the seeds' values."""
        known = np.asarray(list(values), dtype=float)
        half = math.nan
        if len(known) > 1:
            half = float(stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
        return Interval(float(known.mean()), float(known.mean()) - half, float(known.mean()) + half)

    def __str__(self) -> str:
        """In percent, with half of the interval's width."""
        half = 100 * (self.high - self.mean)
        return f"{100 * self.mean:.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")
