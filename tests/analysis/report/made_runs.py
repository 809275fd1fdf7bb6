"""Run folders as training writes them, made up from a few numbers: what the report is tested on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from src.analysis.ranking import summary
from src.analysis.report.groups import Group, group_runs
from src.analysis.report.runs import find_runs
from src.runtime.result import write_result
from src.runtime.result_schemas import TrainResult
from src.runtime.run_folder import (
    CONFIG,
    COUNT_COLUMNS,
    COUNTS,
    METRIC_COLUMNS,
    METRICS,
    PROVENANCE,
    RESULT,
    SCORE_COLUMNS,
    SCORES,
    append_rows,
    write_json,
)

LAYERS, CHOICES, EPOCHS, STEPS_PER_EPOCH = 4, 3, 12, 10
PATHS = list(itertools.product(range(CHOICES), repeat=LAYERS))
OPTIONS: dict[str, dict[str, Any]] = {
    "bias": {"_target_": "Bias", "depth": 1, "predecessors": "previous", "weight_decay": None},
    "bias_2": {"_target_": "Bias", "depth": 2, "predecessors": "previous", "weight_decay": None},
    "bias_3": {"_target_": "Bias", "depth": 3, "predecessors": "previous", "weight_decay": None},
    "shared_bias": {"_target_": "SharedBias", "depth": 1, "predecessors": "previous", "weight_decay": None},
    "attention": {"_target_": "Attention", "depth": 1, "predecessors": "previous", "hidden": False},
    "split": {"_target_": "Split", "epoch": None, "fraction": 0.5, "predecessors": "previous"},
    "split_70": {"_target_": "Split", "epoch": None, "fraction": 0.7, "predecessors": "previous"},
    "split_80": {"_target_": "Split", "epoch": None, "fraction": 0.8, "predecessors": "previous"},
    "none": {"_target_": "InterChoice"},
}
"""The section inter_choice of a run's configuration, by option."""

QUALITY = {"strict_fair": 0.9, "spos": 0.8, "ef": 0.6, "ef_scaled": 0.7}
PASSES = {"strict_fair": 3, "spos": 1, "ef": 3, "ef_scaled": 3}


def only_group(root: Path, ensemble_size: int | None = None) -> Group:
    """The group of the runs below a folder, which are comparable."""
    (group,) = group_runs(find_runs(root), ensemble_size)
    return group


def make_run(folder: Path, sampler: str, seed: int, finished: bool = True, **changes: Any) -> Path:
    """One run; `changes` are configuration keys with dots as `__`, or commit, dirty, epochs, ceiling, and inter_choice,
    the option. A run without that key is one from before there were inter-choice weights.
    """
    commit, dirty = changes.pop("commit", "a" * 40), changes.pop("dirty", False)
    epochs = changes.pop("epochs", EPOCHS)
    ceiling, ranked_by = changes.pop("ceiling", None), changes.pop("ranked_by", "accuracy")
    folder.mkdir(parents=True)
    config = OmegaConf.create(
        {
            "choices": {"sampler": sampler, "search_space": "mini", "dataset": "digits"},
            "seed": seed,
            "budget": {"epochs": EPOCHS, "steps": None, "backward_passes": None},
            "ranking": {"by": ranked_by},
            "sampler": {"_target_": f"src.samplers.{sampler}", "updates": PASSES.get(sampler, 1)},
            "optimizer": {"lr": 0.05},
        }
    )
    if "inter_choice" in changes:
        option = changes.pop("inter_choice")
        OmegaConf.update(config, "choices.inter_choice", option, force_add=True)
        OmegaConf.update(config, "inter_choice", OPTIONS[option], force_add=True)
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    OmegaConf.save(config, folder / CONFIG)
    write_json(folder / PROVENANCE, {"commit": commit, "dirty": dirty})
    generator = np.random.default_rng([seed, *sampler.encode(), *folder.name.encode()])
    write_progress(folder, sampler, epochs if finished else epochs // 2, generator)
    if finished:
        write_end(folder, sampler, seed, commit, epochs, ceiling, generator, ranked_by)
    return folder


def write_progress(folder: Path, sampler: str, epochs: int, generator: np.random.Generator) -> None:
    counts = np.zeros((LAYERS, CHOICES), dtype=int)
    quality, passes = QUALITY.get(sampler, 0.5), PASSES.get(sampler, 1)
    for epoch in range(1, epochs + 1):
        step = epoch * STEPS_PER_EPOCH
        if sampler == "strict_fair":
            counts += STEPS_PER_EPOCH
        else:
            counts += generator.multinomial(STEPS_PER_EPOCH, [1 / CHOICES] * CHOICES, size=LAYERS) * passes
        mean = 0.1 + (quality - 0.1) * (1 - np.exp(-epoch / 3)) + 0.01 * generator.normal()
        rows = [(step, layer, choice, counts[layer, choice]) for layer in range(LAYERS) for choice in range(CHOICES)]
        append_rows(folder / COUNTS, COUNT_COLUMNS, [dict(zip(COUNT_COLUMNS, row, strict=True)) for row in rows])
        append_rows(folder / METRICS, METRIC_COLUMNS, [{"step": step - 5, "train/loss": 1 / epoch}])
        row = {
            "step": step,
            "epoch": epoch,
            "train/loss": 1 / epoch,
            "train/backward_passes": step * passes,
            "supernet/accuracy_mean": mean,
            "supernet/accuracy_std": 0.05,
            "supernet/accuracy_min": mean - 0.15,
            "supernet/accuracy_max": mean + 0.1,
            "fairness/count_spread": int(np.ptp(counts, axis=1).max()),
        }
        append_rows(folder / METRICS, METRIC_COLUMNS, [row])


def write_end(
    folder: Path,
    sampler: str,
    seed: int,
    commit: str,
    epochs: int,
    ceiling: float | None,
    generator: Any,
    ranked_by: str,
) -> None:
    weights = np.random.default_rng(0).normal(size=(LAYERS, CHOICES))
    latent = np.array([sum(weights[layer, choice] for layer, choice in enumerate(path)) for path in PATHS])
    truth = 0.9 + 0.02 * latent
    params = np.array([1000 + 700 * sum(path) for path in PATHS])
    quality = QUALITY.get(sampler, 0.5)
    scores: dict[str, Any] = {}
    rankings: dict[str, Any] = {}
    for bn, noise in (("recalibrate", 1.2 - quality), ("running", 1.6 - quality)):
        accuracy = np.clip(quality + 0.03 * (latent + 2.5 * noise * generator.normal(size=len(PATHS))), 0, 1)
        loss = 2 - 1.5 * accuracy + 0.03 * np.random.default_rng(seed).normal(size=len(PATHS))
        columns: dict[str, Any] = {
            "accuracy": accuracy,
            "loss": loss,
            "truth": truth,
            "params": params,
            "macs": params * 64,
        }
        rows = [
            {"path": "-".join(map(str, path)), "arch": "-".join(map(str, path)), "bn": bn, "seed": seed}
            | {name: values[i] for name, values in columns.items()}
            for i, path in enumerate(PATHS)
        ]
        append_rows(folder / SCORES, SCORE_COLUMNS, rows)
        scores[bn] = {
            "accuracy_mean": float(accuracy.mean()),
            "accuracy_std": float(accuracy.std()),
            "accuracy_min": float(accuracy.min()),
            "accuracy_max": float(accuracy.max()),
            "paths": len(PATHS),
        }
        counts = {"params": params, "macs": params * 64}
        rankings[bn] = {"accuracy": {"all": summary(accuracy, truth, counts, seed)}}
    steps = epochs * STEPS_PER_EPOCH
    result = TrainResult(
        commit=commit,
        seed=seed,
        wall_seconds=12.5,
        backward_passes=steps * PASSES.get(sampler, 1),
        search_space="mini",
        dataset="digits",
        sampler=sampler,
        steps=steps,
        epochs=epochs,
        way="serial",
        budget={"epochs": epochs},
        count_spread=0,
        ranked_by=ranked_by,
        scores=scores,
        ranking=rankings,
        ceiling={} if ceiling is None else {"all": {"value": ceiling, "kind": "split half"}},
    )
    write_result(folder, result)


def set_scores(folder: Path, accuracy: Sequence[float], truth: Sequence[float] | None = None, **counts: Any) -> Path:
    """Replace what a finished run scored, in all its rankings too: architectures 0, 1, ... under `recalibrate`."""
    columns = {"accuracy": accuracy, **counts} | ({} if truth is None else {"truth": truth})
    rows = [{"path": str(i), "arch": str(i), "bn": "recalibrate"} for i in range(len(accuracy))]
    (folder / SCORES).unlink()
    append_rows(
        folder / SCORES, SCORE_COLUMNS, [row | {k: v[i] for k, v in columns.items()} for i, row in enumerate(rows)]
    )
    result = json.loads((folder / RESULT).read_text())
    write_json(folder / RESULT, result | {"ranking": {}})
    return folder


def make_sweep(root: Path, samplers: tuple[str, ...] = tuple(QUALITY), seeds: int = 3, **changes: Any) -> Path:
    """`samplers` x `seeds` finished runs below `root`."""
    for sampler in samplers:
        for seed in range(seeds):
            make_run(root / f"{sampler}-{seed}", sampler, seed, **changes)
    return root


def make_variants(root: Path, options: tuple[str, ...] = tuple(OPTIONS), seeds: int = 3, **changes: Any) -> Path:
    """SPOS with each option of inter_choice, x `seeds` finished runs below `root`."""
    for option in options:
        for seed in range(seeds):
            make_run(root / f"{option}-{seed}", "spos", seed, inter_choice=option, **changes)
    return root
