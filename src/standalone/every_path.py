"""Ground truth of a small space: every path trained alone with several seeds, by a few worker processes.

n paths, S seeds.
"""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from src.analysis.ranking import kendall, split_half
from src.datasets.dataset import Dataset
from src.runtime.progress import progress
from src.runtime.provenance import store_provenance
from src.runtime.resume import store
from src.runtime.run_folder import PROVENANCE, RESULT, append_rows, replace_file, write_json
from src.search_spaces.space import SearchSpace
from src.standalone.bare_loop import Recipe, accuracy, train_alone
from src.supernet.path import parse_path

RUNS, TABLE = "runs.csv", "table.csv"
RUN_COLUMNS = ("arch", "seed", "test", "val")


def prepare(cfg: DictConfig, folder: Path) -> None:
    """Find bad input before anything is trained, then write down what the folder holds."""
    space, dataset, recipe = _parts(OmegaConf.to_yaml(cfg, resolve=True))
    space.all_paths("ground truth")
    space.check_input(dataset.input_spec)
    dataset.train_loader(recipe.batch_size, 1, 0, torch.device("cpu"))
    store(cfg, folder)
    store_provenance(folder, "cpu, 1 thread a worker", dataset.name)


def train_missing(cfg: DictConfig, folder: Path) -> None:
    """Add to runs.csv every (arch, seed) that is not there yet, one line as each is trained."""
    space: SearchSpace = instantiate(cfg.search_space)
    path = folder / RUNS
    known = _known(path)
    todo = [(space.format(p), seed) for seed in range(cfg.seeds) for p in space.all_paths("ground truth")]
    missing = [job for job in todo if job not in known]
    spec = OmegaConf.to_yaml(cfg, resolve=True)
    with progress("train alone", "net", len(todo), len(todo) - len(missing)) as bar:
        for row in _trained(spec, missing, cfg.workers):
            append_rows(path, RUN_COLUMNS, [row])
            bar.update()


def conclude(cfg: DictConfig, folder: Path) -> None:
    """Write table.csv, one row per network with its mean and single runs, and say how far it can be trusted."""
    space: SearchSpace = instantiate(cfg.search_space)
    dataset: Dataset = instantiate(cfg.dataset)
    input_spec = dataset.input_spec
    runs = pd.read_csv(folder / RUNS, dtype={"arch": str})
    wide = runs.pivot(index="arch", columns="seed", values="test").add_prefix("run_").sort_index()
    table = wide.copy()
    table.insert(0, "accuracy", wide.mean(axis=1))
    table.insert(1, "val", runs.groupby("arch").val.mean())
    costs = [space.costs(space.parse(arch), input_spec) for arch in table.index]
    table.insert(2, "params", [cost.params for cost in costs])
    table.insert(3, "macs", [cost.macs for cost in costs])
    replace_file(folder / TABLE, table.round(6).to_csv(lineterminator="\n"))
    provenance = json.loads((folder / PROVENANCE).read_text())
    result = _trust(table, wide) | {"command": "ground_truth", "commit": provenance["commit"], "paths": len(table)}
    write_json(folder / RESULT, result | {"seeds": wide.shape[1]})
    _show(result, folder)


def _trust(table: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Any]:
    working: Any = [sum(choice != 0 for choice in parse_path(arch)) for arch in table.index]
    counts = {"params": table.params, "macs": table.macs, "choices other than 0": working}
    return {
        "accuracy_min": table.accuracy.min(),
        "accuracy_max": table.accuracy.max(),
        "split_half_tau": split_half(wide),
        "validation_tau": kendall(table.val, table.accuracy).value,
        "baselines": {name: kendall(count, table.accuracy).value for name, count in counts.items()},
    }


def _show(result: dict[str, Any], folder: Path) -> None:
    table = Table(title=f"{result['paths']} networks trained alone")
    table.add_column("Kendall's tau")
    table.add_column("value", justify="right")
    table.add_row("between halves of the seeds", f"{result['split_half_tau']:.3f}")
    table.add_row("validation against test images", f"{result['validation_tau']:.3f}")
    for name, value in result["baselines"].items():
        table.add_row(f"by counting {name}", f"{value:.3f}")
    Console().print(table)
    print(f"test accuracy {result['accuracy_min']:.3f} to {result['accuracy_max']:.3f}; table: {folder / TABLE}")


def _known(path: Path) -> set[tuple[str, int]]:
    """What runs.csv holds; a last line that a kill left half written is dropped."""
    if not path.exists():
        return set()
    text = path.read_text()
    replace_file(path, text[: text.rfind("\n") + 1])
    with path.open(newline="") as file:
        return {(row["arch"], int(row["seed"])) for row in csv.DictReader(file)}


def _trained(spec: str, jobs: list[tuple[str, int]], workers: int) -> Iterator[dict[str, Any]]:
    """The finished rows, in the order in which they are finished."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_the_parent)
    try:
        for future in as_completed([pool.submit(_train, spec, arch, seed) for arch, seed in jobs]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a Ctrl-C does not wait for what was submitted


def _leave_interrupts_to_the_parent() -> None:
    """Ctrl-C reaches the whole process group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=1)
def _parts(spec: str) -> tuple[SearchSpace, Dataset, Recipe]:
    """Built once per worker process, which computes on one thread."""
    torch.set_num_threads(1)
    cfg = OmegaConf.create(spec)
    return instantiate(cfg.search_space), instantiate(cfg.dataset), Recipe(**cfg.recipe_alone)


def _train(spec: str, arch: str, seed: int) -> dict[str, Any]:
    space, dataset, recipe = _parts(spec)
    net = train_alone(space, space.parse(arch), dataset, recipe, seed)
    found = {part: round(accuracy(net, dataset, part), 6) for part in ("test", "val")}
    return {"arch": arch, "seed": seed, **found}
