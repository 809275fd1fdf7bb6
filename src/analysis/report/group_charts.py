"""The figures of one comparison, by file name: the PNG files and the page's charts are made of the same ones."""

from __future__ import annotations

from src.analysis.report import curves
from src.analysis.report.agreement import agreements
from src.analysis.report.chart import Chart
from src.analysis.report.figures import accuracy_curves, accuracy_histograms, scatter, spread_curves
from src.analysis.report.groups import Group
from src.analysis.report.importance_figures import (
    IMAGES,
    LEARNT,
    VARIANCE,
    draws_figure,
    images_figure,
    learnt_figure,
    variance_figure,
)
from src.analysis.report.improvement_figures import improvement_and_tau, improvement_figure
from src.analysis.report.order_curves import order_figure
from src.analysis.report.pairs_figures import pairs_figure
from src.analysis.report.rankings import LEFT
from src.analysis.report.selection import selection
from src.analysis.report.space_curves import probabilities
from src.analysis.report.space_figures import (
    cost_figure,
    map_figure,
    probabilities_figure,
    slices_figure,
    spaces_figure,
)
from src.analysis.report.style import colours


def group_charts(group: Group, bn: str) -> dict[str, Chart]:
    """Charts by file name; those without data are left out."""
    charts: dict[str, Chart] = {}
    accuracy = {method: curves.accuracy_curve(runs) for method, runs in group.methods.items()}
    if any(map(len, accuracy.values())):
        validation = group.runs[0].config.get("validation") or {}
        charts["accuracy_curves"] = accuracy_curves(accuracy, validation.get("bn", ""), validation.get("paths"))
    if order := order_figure(group.methods):
        charts["order_over_training"] = order
    # Pruning: curves of ten architectures and fewer are noise
    pruned = selection(group, bn)
    if pruned.architectures > LEFT:
        charts["improvement"] = improvement_figure(pruned)
        charts["improvement_to_one"] = improvement_figure(pruned, 1)
        charts["improvement_and_tau"] = improvement_and_tau(pruned)
    # Scores: their distribution, and against the truth where it is known
    pooled = {method: curves.pooled_accuracies(runs, bn) for method, runs in group.methods.items()}
    if any(map(len, pooled.values())):
        charts["accuracy_histograms"] = accuracy_histograms(pooled, bn)
    spread = {method: curves.spread_curve(runs) for method, runs in group.methods.items()}
    if any(map(len, spread.values())):
        charts["count_spread"] = spread_curves(spread)
    charts |= importance_charts(group) | space_charts(group)
    points = {method: curves.scatter_points(runs, bn) for method, runs in group.methods.items()}
    if any(map(len, points.values())):
        charts["one_shot_against_truth"] = scatter(points, bn)
    # Agreement of seeds needs two of a method
    if pairs := agreements(group, bn):
        charts["seeds_against_seeds"] = pairs_figure(pairs, colours(group.methods), bn)
    return charts


def importance_charts(group: Group) -> dict[str, Chart]:
    """Draws of operations and images by epoch, and the variance of the gradient, as far as they were recorded."""
    charts: dict[str, Chart] = {}
    shares = {method: curves.draw_shares(runs) for method, runs in group.methods.items()}
    if any(map(len, shares.values())):
        charts["operations_drawn"] = draws_figure(shares)
    for name, figures, draw in (
        ("images_drawn", IMAGES, images_figure),
        ("importance", LEARNT, learnt_figure),
        ("gradient_variance", VARIANCE, variance_figure),
    ):
        by_figure = {
            figure: {method: curves.importance_curve(runs, figure) for method, runs in group.methods.items()}
            for figure in figures
        }
        # the first two of each tell whether there is anything of the kind: a search of spaces has an entropy too
        if any(len(curve) for figure in list(figures)[:2] for curve in by_figure[figure].values()):
            charts[name] = draw(by_figure)
    return charts


def space_charts(group: Group) -> dict[str, Chart]:
    """Figures of a network space search, as far as the runs are ones."""
    # importance of paths has probabilities too, of operations
    searches = {
        method: [run for run in runs if run.sampler == "network_space_search" and len(probabilities(run))]
        for method, runs in group.methods.items()
    }
    searches = {method: runs for method, runs in searches.items() if runs}
    if not searches:
        return {}
    cost = next(iter(searches.values()))[0].config["cost"]
    curves_of = {m: curves.importance_curve(runs, f"expected_{cost['of']}") for m, runs in searches.items()}
    charts = {
        "spaces": spaces_figure(searches),
        "space_map": map_figure(searches),
        "probabilities": probabilities_figure(searches),
        "expected_cost": cost_figure(curves_of, cost["of"], float(cost["target"])),
    }
    # counts of a mixture do not say which slices it trained
    hard = {m: [run for run in runs if run.config["sampler"].get("weights") != "soft"] for m, runs in searches.items()}
    hard = {method: runs for method, runs in hard.items() if runs}
    return charts | ({"slices_trained": slices_figure(hard)} if hard else {})
