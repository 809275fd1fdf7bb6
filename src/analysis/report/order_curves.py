"""The order of networks while a supernet trains: that of each validation against the last one, and the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from src.analysis.additive import with_score
from src.analysis.ranking import tau_b
from src.analysis.report.chart import Axis, Band, Chart, Line, Panel, Rule, Series
from src.analysis.report.figures import band_and_line
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import baseline_label, colours
from src.analysis.subsets import SIZES, predictions
from src.runtime.run_folder import FEWEST_ORDERED

ORDER_READING = (
    "Kendall's τ over the fixed paths of each validation: with their order at the end of the run, which needs no "
    "truth, and with their accuracies when trained alone. Line: mean over seeds. Shade: lowest to highest seed. "
    "Dashed: what counting reaches on the same paths. A loss as a sum over layers is fitted to these paths alone. An "
    "order that has settled is not yet a right one; and a run that is stopped early, with its learning rate still "
    "high, is not the shorter run."
)
COLUMNS = ["step", "passes", "minutes", "agreement", "tau"]


def order_curve(run: TrainingRun) -> pd.DataFrame:
    """A row for each validation: COLUMNS; `tau` is nan where no truth is known. Empty of few paths, or of one look."""
    table = run.validation
    looks = list(table.groupby("step"))
    if len(looks) < 2 or len(looks[-1][1]) < FEWEST_ORDERED:
        return pd.DataFrame(columns=COLUMNS, dtype=float)
    # costs and truth stand in other tables
    metrics = run.metrics.set_index("step")
    truth = known_paths(run).set_index("arch")["truth"]
    last = scores_of(looks[-1][1], run.ranked_by)
    rows = []
    for step, look in looks:
        scores = scores_of(look, run.ranked_by)
        alone = truth.reindex(scores.index)
        known = alone.notna()
        rows.append(
            {
                "step": step,
                "passes": metrics["train/backward_passes"].get(step),
                "minutes": float(metrics["wall_seconds"].get(step, math.nan)) / 60,
                "agreement": tau_b(scores.to_numpy(), last.reindex(scores.index).to_numpy()),
                "tau": tau_b(scores[known].to_numpy(), alone[known].to_numpy()) if known.sum() > 2 else math.nan,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS).astype(float)


def scores_of(look: pd.DataFrame, by: str) -> pd.Series:
    """The score that orders the paths, higher is better, by arch."""
    return pd.Series(predictions(with_score(look, by), by), index=look["arch"])


def known_paths(run: TrainingRun) -> pd.DataFrame:
    """arch, truth and costs of the networks that were scored at the end, each once."""
    return run.scores.drop_duplicates("arch").dropna(subset=["truth"])


def counted(run: TrainingRun) -> dict[str, float]:
    """Tau of counting, on the paths of the validations whose truth is known."""
    table = known_paths(run)
    table = table[table["arch"].isin(run.validation["arch"])]
    taus = {size: tau_b(table[size].to_numpy(float), table["truth"].to_numpy(float)) for size in SIZES}
    return {size: tau for size, tau in taus.items() if not math.isnan(tau)}


def order_figure(methods: Mapping[str, Sequence[TrainingRun]]) -> Chart | None:
    """Both taus against backward passes and minutes, a line per method; None without validations of enough paths."""
    drawn = {run: curve for runs in methods.values() for run in runs if len(curve := order_curve(run))}
    if not drawn:
        return None
    curves = {method: [drawn[run] for run in runs if run in drawn] for method, runs in methods.items()}
    with_truth = any(curve["tau"].notna().any() for curve in drawn.values())
    # the paths of validations are the same in all runs
    lines = counted(next(iter(drawn))) if with_truth else {}
    rows = []
    kinds = [("agreement", "τ with the order at the end"), *([("tau", "τ with the truth")] if with_truth else [])]
    # a row for each tau, against both costs
    for figure, name in kinds:
        panels = []
        for x, title in (("passes", "backward passes"), ("minutes", "minutes")):
            series: list[Series] = []
            for method, colour in colours(methods).items():
                series += method_lines(curves[method], x, figure, method, colour)
            counts = lines.items() if figure == "tau" else ()
            series += [Rule(across="y", at=tau, dash="dash") for _, tau in counts]
            panels.append(Panel(tuple(series), Axis(title, (0, None)), Axis(name if x == "passes" else "")))
        rows.append(tuple(panels))
    said = "; ".join(f"{baseline_label(size)} {tau:.2f}" for size, tau in lines.items())
    reading = ORDER_READING + (f" {said}." if said else "")
    return Chart("How the order settles", reading, tuple(rows), size=(9.6, 0.6 + 3 * len(rows)), together=True)


def method_lines(curves: Sequence[pd.DataFrame], x: str, figure: str, method: str, colour: str) -> list[Band | Line]:
    """A method's band and line over its seeds, validation by validation."""
    if not curves:
        return []
    # seeds take equal steps, and nearly equal minutes
    steps = pd.concat(curves).groupby("step")
    values = steps[figure]
    table = pd.DataFrame({x: steps[x].mean(), "mean": values.mean(), "low": values.min(), "high": values.max()})
    table = table.dropna()
    hover = tuple(f"{value:.3f}" for value in table["mean"])
    return band_and_line(table, (x, "mean", "low", "high"), method, colour, hover)
