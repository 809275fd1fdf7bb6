"""A folder in the layout of NATS-tss-v1_0-3ffb9-simple, written with the package's own classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from nats_bench import ArchResults, ResultsCount, pickle_save

CLASSES = {"cifar10-valid": 10, "cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
Trainings = Mapping[tuple[str, int], Mapping[str, float]]
"""(data set, seed) -> evaluation set -> accuracy in percent after the last epoch."""


def write_nats(folder: Path, networks: Mapping[str, tuple[float, Trainings]]) -> str:
    """One file per network: arch -> (parameters in millions, trainings of 200 epochs); those of 12 say 1 %."""
    folder.mkdir(parents=True)
    archs = list(networks)
    meta = {"meta_archs": archs, "total_archs": len(archs), "arch2infos": None, "evaluated_indexes": set()}
    pickle_save(meta, str(folder / "meta.pickle"))
    for index, (arch, (params, trainings)) in enumerate(networks.items()):
        short = {key: dict.fromkeys(accuracies, 1.0) for key, accuracies in trainings.items()}
        both = OrderedDict((str(e), _results(index, arch, params, t, e)) for e, t in ((12, short), (200, trainings)))
        pickle_save(both, str(folder / f"{index:06d}.pickle"))
    return str(folder)


def _results(index: int, arch: str, params: float, trainings: Trainings, epochs: int) -> dict[str, object]:
    results = ArchResults(index, arch)
    for (data, seed), accuracies in trainings.items():
        config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": CLASSES[data]}
        curve = dict.fromkeys(range(epochs), 50.0)
        run = ResultsCount(data, None, curve, curve, params, 15.0, config, seed, epochs, [0.01])
        for name, accuracy in accuracies.items():
            run.update_OLD_eval(name, {0: 2.0, epochs - 1: accuracy}, {0: 3.0, epochs - 1: 1.0})
        run.reset_pseudo_train_times(7.0)
        for name in accuracies:
            run.reset_pseudo_eval_times(name, 0.5)
        results.update(data, seed, run)
    results.clear_params()
    return dict(results.state_dict())
