"""NATS-Bench's topology search space: NAS-Bench-201's cells with every run kept (Dong et al. 2021).

Its folder holds `meta.pickle.pbz2` (arch strings) and one `000000.pickle.pbz2` per network. A pickle can run any code
when it is read: take the folder from NATS-Bench's own pages.
"""

from __future__ import annotations

import math
import pickle
import warnings
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from src.benchmarks.benchmark import Benchmark
from src.runtime.errors import UsageError, unknown
from src.runtime.progress import progress

META = "meta.pickle.pbz2"
EPOCHS = "200"
"""The longer of the two trainings of each network; the other has 12 epochs."""
SETS = {
    "cifar10": (("cifar10", "ori-test"), ("cifar10-valid", "x-valid")),
    "cifar100": (("cifar100", "x-test"), ("cifar100", "x-valid")),
    "ImageNet16-120": (("ImageNet16-120", "x-test"), ("ImageNet16-120", "x-valid")),
}
"""Where test and validation accuracies stand: (training, evaluation set). CIFAR-10 is trained twice, and tested after
training on all training images, validated after training on half of them."""

UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, ValueError, LookupError, AttributeError, AssertionError)
"""Errors that reading a wrong or partial archive raises."""


class Entry(NamedTuple):
    """Accuracies of one network in percent by run, empty where it was not trained, and its size."""

    test: list[float]
    validation: list[float]
    params: float
    """Parameters; nan where it was not trained."""


class NatsBench(Benchmark):
    """Read on first use, in minutes: 15,625 packed files; further readings by the same process cost nothing."""

    name = "nats_bench"

    def __init__(self, path: str, data: str = "cifar10") -> None:
        if data not in list(SETS):
            raise unknown("benchmark.data", data, SETS)
        if not (Path(path) / META).is_file():
            raise UsageError(f"benchmark.path={path} is not NATS-Bench's folder: there is no {META} in it")
        nats_package()  # asked for now, so that its lack is no surprise after training
        self.path, self.data = path, data

    def accuracies(self) -> dict[str, float]:
        """Test accuracy in [0, 1] by arch string, a mean over one to three runs."""
        return {arch: sum(entry.test) / len(entry.test) / 100 for arch, entry in self._entries.items() if entry.test}

    def runs(self) -> dict[str, list[float]]:
        """Test accuracies in [0, 1] of the single runs by arch string: not as many for one network as for another."""
        return {arch: [value / 100 for value in entry.test] for arch, entry in self._entries.items()}

    def validation(self) -> dict[str, float]:
        """Accuracy on validation images in [0, 1] by arch string, a mean over its runs."""
        known = {arch: entry.validation for arch, entry in self._entries.items() if entry.validation}
        return {arch: sum(values) / len(values) / 100 for arch, values in known.items()}

    def params(self) -> dict[str, float]:
        """Parameter counts by arch string, of networks with as many outputs as the data set has classes."""
        return {arch: entry.params for arch, entry in self._entries.items() if not math.isnan(entry.params)}

    @property
    def _entries(self) -> dict[str, Entry]:
        return read_entries(self.path, self.data)


@lru_cache(maxsize=3)
def read_entries(path: str, data: str) -> dict[str, Entry]:
    """The entries of all networks by arch string.

    Raises:
        UsageError: the folder is not an archive of NATS-Bench's topology space, or a damaged one.
    """
    trained, _ = SETS[data][0]
    try:
        api = nats_package().create(path, "tss", fast_mode=True, verbose=False)
        entries: dict[str, Entry] = {}
        with progress("read NATS-Bench", "net", len(api)) as bar:
            for index in range(len(api)):
                api.reload(path, index)
                # popped, so that one network is in memory at a time: each comes with 200 epochs of every run
                results = api.arch2infos_dict.pop(index)[EPOCHS]
                test, validation = (evaluations(results, *names) for names in SETS[data])
                params = 1e6 * results.get_compute_costs(trained)["params"] if test else math.nan
                entries[api.arch(index)] = Entry(test, validation, params)
                bar.update()
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"benchmark.path={path} cannot be read as NATS-Bench's topology space: {reason}") from None
    return entries


def evaluations(results: Any, trained: str, evaluated: str) -> list[float]:
    """Accuracies in percent after the last epoch, one per seed, from the package's ArchResults of one network."""
    if trained not in results.get_dataset_names():
        return []
    return [float(run.get_eval(evaluated)["accuracy"]) for run in results.query(trained).values()]


def nats_package() -> ModuleType:
    """The optional package that knows the format.

    Raises:
        UsageError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of 2022: newer Pythons find its source old-fashioned
            import nats_bench
    except ImportError:
        raise UsageError("benchmark=nats_bench needs the package nats_bench: pip install nats_bench") from None
    return nats_bench
