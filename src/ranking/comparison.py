"""Scores compared with a benchmark, beside counting baselines and the benchmark's own noise ceiling.

n architectures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from src.analysis.additive import with_score
from src.analysis.improvement import improvement_curve, tau_of_best
from src.analysis.ranking import accuracy_gap, or_none, tau_b
from src.analysis.report.figures import scatter
from src.analysis.report.improvement_figures import improvement_and_tau, improvement_figure
from src.analysis.report.png import save
from src.analysis.report.selection import Selection, thinned
from src.analysis.subsets import assess, predictions, truth_subsets
from src.benchmarks.benchmark import Benchmark
from src.benchmarks.join import Match, match, spellings
from src.datasets.input_spec import InputSpec
from src.ranking.ceiling import noise_ceiling
from src.runtime.run_folder import LEARNT, replace_file
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath, format_path

COUNTS = ("params", "macs")
OWN_PARAMS = "params_by_benchmark"
"""The benchmark's own counts, listed where they differ from ours."""


class Comparison:
    """Predictions of one space's networks beside a benchmark's truth."""

    def __init__(
        self, space: SearchSpace, benchmark: Benchmark, archs: Sequence[str], input_spec: InputSpec | None = None
    ) -> None:
        """`archs`, as the space formats them, once each; costs are those at `input_spec`, or at the reference input.

        Raises:
            UsageError: the benchmark knows none of them.
        """
        self.space, self.benchmark = space, benchmark
        self.match: Match = match(archs, space, benchmark)
        paths = [space.parse(arch) for arch in archs]
        costs = [space.costs(path, input_spec) for path in paths]
        self.facts = pd.DataFrame({"arch": archs, "path": list(map(format_path, paths)), "truth": self.match.truth})
        self.facts["params"], self.facts["macs"] = zip(*costs, strict=True)
        counts = pd.DataFrame([space.counts(path) for path in paths])
        self.facts = self.facts.join(counts)
        self.baselines = [*COUNTS, *map(str, counts), *self._own_params()]
        self.subsets = self._subsets(paths)

    def add_baselines(self, table: pd.DataFrame) -> None:
        """Further numbers of the networks that rankings stand beside: columns arch, and one of each baseline."""
        self.facts = self.facts.merge(table, on="arch", how="left", validate="1:1")
        self.baselines += [str(name) for name in table.columns if name != "arch"]

    def rank(self, scores: pd.DataFrame, by: str, seed: int, with_subsets: bool = True) -> dict[str, Any]:
        """{score: {subset: ranking.summary}}, the score `by` that orders the paths first.

        `scores` has the columns arch, accuracy and perhaps loss; `by` is one of run_folder.RANK_BY.
        """
        known = self.scores_in(scores)
        table = self.facts.merge(self._scored(scores, by), on="arch", how="left", validate="1:1")
        subsets = self.subsets if with_subsets else {"all": self.subsets["all"]}
        return assess(table, subsets, [by, *(name for name in known if name != by)], self.baselines, seed)

    def tau(self, scores: pd.DataFrame, by: str) -> float | None:
        """Kendall's tau alone, without the intervals that make `rank` slow; None where it is undefined."""
        table = self.facts.merge(self._scored(scores, by), on="arch").dropna(subset=["truth"])
        return or_none(tau_b(predictions(table, by), table["truth"].to_numpy(float)))

    def _scored(self, scores: pd.DataFrame, by: str) -> pd.DataFrame:
        """arch, accuracy and loss as far as there is such a column, `by` where it is of a network among all of them."""
        table = scores[["arch", *(name for name in LEARNT if name in scores)]].merge(
            self.facts[["arch", "path"]], on="arch"
        )
        return with_score(table, by).drop(columns="path")

    @staticmethod
    def scores_in(scores: pd.DataFrame) -> list[str]:
        """The scores that the networks can be ordered by."""
        return [name for name in LEARNT if name in scores and scores[name].notna().all()]

    def ceilings(self, with_subsets: bool = True) -> dict[str, Any]:
        """The noise ceiling of each subset, {value, kind} or None."""
        spelt = spellings(self.space, self.benchmark.accuracies())
        archs = pd.Series([spelt.get(name, name) for name in self.match.networks], dtype=str)
        subsets = self.subsets if with_subsets else {"all": self.subsets["all"]}
        ceilings = {name: noise_ceiling(self.benchmark, list(archs[mask])) for name, mask in subsets.items()}
        return {name: ceiling._asdict() if ceiling else None for name, ceiling in ceilings.items()}

    def gap(self, scores: pd.DataFrame) -> dict[str, float]:
        """Ranges of one-shot and stand-alone accuracy over the known networks, and lambda (FairNAS section 4.5)."""
        table = self.facts.merge(scores[["arch", "accuracy"]], on="arch").dropna(subset=["truth"])
        return accuracy_gap(table.accuracy, table.truth)

    def figures(self, scores: Mapping[str, pd.DataFrame], by: str, folder: Path) -> list[Path]:
        """Improvement curves and tau of the best by `by`, one-shot accuracy against the truth; improvement.csv."""
        tables = {name: self._known(table, by) for name, table in scores.items()}
        # with ten paths or fewer there is nothing to leave out
        if min(map(len, tables.values())) <= 10:
            return []
        selection = self._selection(tables)
        curves = pd.concat([curve.assign(prediction=name) for name, curve in self._curves(tables).items()])
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / "improvement.csv", curves.round(6).to_csv(index=False, lineterminator="\n"))
        # a figure of each kind, all protocols in it
        drawn = {
            "improvement": improvement_figure(selection),
            "improvement_to_one": improvement_figure(selection, least=1),
            "improvement_and_tau": improvement_and_tau(selection),
            "one_shot_against_truth": scatter(tables),
        }
        return [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]

    def _selection(self, tables: Mapping[str, pd.DataFrame]) -> Selection:
        kept, best = {}, {}
        for name, curve in self._curves(tables).items():
            curve = thinned(curve)
            # one run is its own interval: a curve of several seeds has the same columns
            same = {
                f"{column}{end}": curve[of]
                for column, of in (("", "mean"), ("improvement_", "improvement"))
                for end in ("low", "high")
            }
            kept[name] = curve.assign(**same, seeds=1)
            taus = tau_of_best(tables[name].predicted, tables[name].truth)
            best[name] = taus.assign(tau_low=taus.tau, tau_high=taus.tau, seeds=1)
        facts = self.facts.dropna(subset=["truth"])
        # the counting baselines, on the same networks
        counted = {name: thinned(improvement_curve(facts[name], facts.truth)) for name in COUNTS}
        return Selection(kept, best, counted, (float(facts.truth.mean()), float(facts.truth.max())))

    @staticmethod
    def _curves(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        return {name: improvement_curve(table.predicted, table.truth) for name, table in tables.items()}

    def _known(self, scores: pd.DataFrame, by: str) -> pd.DataFrame:
        """arch, accuracy and truth of the networks that have both, and `predicted`, the score that orders them."""
        table = self.facts[["arch", "truth"]].merge(self._scored(scores, by), on="arch")
        table = table.dropna(subset=["truth", "accuracy"])
        # where a loss is not a number, all are drawn by accuracy
        predicted = predictions(table, by)
        predicted = table["accuracy"].to_numpy(float) if np.isnan(predicted).any() else predicted
        return table.assign(predicted=predicted)[["arch", "truth", "accuracy", "predicted"]]

    def _own_params(self) -> list[str]:
        own = self.benchmark.params()
        named = {name: own[arch] for name, arch in spellings(self.space, own).items()}
        counts = [named.get(arch, np.nan) for arch in self.match.networks]
        known = ~np.isnan(counts) & self.facts.truth.notna()
        if not own or np.array_equal(np.round(counts)[known], self.facts.params.to_numpy(float)[known]):
            return []
        self.facts[OWN_PARAMS] = counts
        return [OWN_PARAMS]

    def _subsets(self, paths: Sequence[ArchPath]) -> dict[str, NDArray[np.bool_]]:
        """The space's own, then those by truth; each with a known truth, and none that is the whole."""
        by_truth = truth_subsets(self.facts.truth, self.benchmark.bar)
        known = by_truth.pop("all")
        masks = {name: np.array(mask) & known for name, mask in self.space.subsets(paths).items()} | by_truth
        return {"all": known} | {name: mask for name, mask in masks.items() if 3 <= mask.sum() < known.sum()}
