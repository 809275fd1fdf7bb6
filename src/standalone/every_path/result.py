"""The ground truth as a table of networks, and figures that say how far it can be trusted.

n paths, S seeds.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from src.analysis.ranking import kendall, split_half
from src.runtime.result import figures_table, write_result
from src.runtime.result_schemas import GroundTruthResult
from src.runtime.run_folder import LISTED_PATHS, PROVENANCE, read_json, replace_file
from src.search_spaces.space import SearchSpace
from src.standalone.every_path.build import GroundTruthSettings, build_subject
from src.standalone.every_path.loop import RUNS
from src.standalone.every_path.networks import Networks, distinct_networks

TABLE = "table.csv"


def write_results(settings: GroundTruthSettings, folder: Path) -> None:
    """Write table.csv, one row per network with its mean and single runs, and result.json; print the figures."""
    space, dataset, recipe = build_subject(settings.spec)
    runs = pd.read_csv(folder / RUNS, dtype={"arch": str})
    wide = runs.pivot(index="arch", columns="seed", values="test").add_prefix("run_").sort_index()  # (n, S)
    paths = [space.parse(arch) for arch in wide.index]
    costs = [space.costs(path, dataset.input_spec) for path in paths]

    # One row per network: means first, then costs, then the single runs.
    table = wide.copy()
    table.insert(0, "accuracy", wide.mean(axis=1))
    table.insert(1, "val", runs.groupby("arch").val.mean())
    table.insert(2, "params", [cost.params for cost in costs])
    table.insert(3, "macs", [cost.macs for cost in costs])
    replace_file(folder / TABLE, table.round(6).to_csv(lineterminator="\n"))

    # A supernet's ranking is worth nothing below what counting reaches, and cannot rise above the noise of the seeds.
    counts = pd.DataFrame([space.counts(path) for path in paths], index=table.index)
    counts = pd.concat([table[["params", "macs"]], counts], axis=1)
    steps = recipe.epochs * (dataset.size("train") // recipe.batch_size)
    left_out = distinct_networks(space) if space.count <= LISTED_PATHS else None
    result = GroundTruthResult(
        search_space=space.name,
        dataset=dataset.name,
        paths=len(table),
        space=None if left_out is None else space_sizes(space, left_out),
        seeds=wide.shape[1],
        accuracy_min=table.accuracy.min(),
        accuracy_max=table.accuracy.max(),
        split_half_tau=split_half(wide),
        validation_tau=kendall(table.val, table.accuracy).value,
        baselines={str(name): kendall(count, table.accuracy).value for name, count in counts.items()},
        commit=(read_json(folder / PROVENANCE) or {}).get("commit", "unknown"),
        device="cpu",
        backward_passes=len(runs) * steps,
    )
    write_result(folder, result)
    show(result, folder)


def space_sizes(space: SearchSpace, networks: Networks) -> dict[str, int]:
    """Paths of the space, and how many distinct networks, dead and repeated paths they are."""
    counted = {"distinct": len(networks.paths), "dead": networks.dead, "repeated": networks.repeated}
    return {"paths": space.count, **counted}


def show(result: GroundTruthResult, folder: Path) -> None:
    """Print the rank correlations and where the table is."""
    rows = [
        ("between halves of the seeds", f"{result.split_half_tau:.3f}"),
        ("validation against test images", f"{result.validation_tau:.3f}"),
        *((f"baseline: {name.replace('_', ' ')}", f"{value:.3f}") for name, value in result.baselines.items()),
    ]
    Console().print(figures_table(f"{result.paths} networks trained alone", rows, ("Kendall's tau", "value")))
    print(f"test accuracy {result.accuracy_min:.3f} to {result.accuracy_max:.3f}; table: {folder / TABLE}")
