"""Builds the data set of a configuration, as it is now or as a stored run had it, and the order of its epochs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from torch import Tensor

from src.datasets.dataset import Dataset
from src.datasets.halves import Within, stratified_halves
from src.datasets.orders import Order, Shuffle
from src.runtime.errors import UsageError
from src.runtime.seeds import mix

HALVES, SEARCH = 5, 6  # streams of the seed of an order, beside its epochs


def open_dataset(section: Mapping[str, Any], split: Path | None = None) -> Dataset:
    """The data set that the `dataset` section of a configuration describes.

    Args:
        section: with its `_target_`.
        split: the split.npz of a run that may have been started: files that it names are taken as they were divided,
            whatever else the folder holds now.

    Raises:
        UsageError: no such files, other files under the same names, or an option out of its range.
    """
    extra = {"split": split} if takes_split(section["_target_"]) else {}
    dataset: Dataset = instantiate(section, **extra)
    if split is not None:
        dataset.check_split(split)
    return dataset


def takes_split(target: str) -> bool:
    """Whether a data set comes from files of its own, which a split may name."""
    try:
        return "split" in inspect.signature(get_object(target)).parameters
    except Exception:  # no such target: building it says so
        return False


def make_order(section: Mapping[str, Any], name: str, count: int, seed: int, epochs: float) -> Order:
    """The order in which `epochs` epochs visit `count` training images, of the section `order` of a configuration.

    Raises:
        UsageError: it learns from one epoch for the next, and the run has no second one; `name` is the option's.
    """
    order: Order = instantiate(section, count=count, seed=seed, epochs=epochs)
    if epochs <= order.least_epochs - 1:
        raise UsageError(
            f"order={name} learns from one epoch for the next: give budget.epochs above {order.least_epochs - 1} "
            f"(this run has {epochs:g}), or order=shuffle"
        )
    return order


def make_orders(
    section: Mapping[str, Any], name: str, labels: Tensor, seed: int, epochs: float, halved: bool
) -> tuple[Order, Order | None]:
    """The order of the training images, and None; or one over each half of them, for weights and for architecture.

    Args:
        section: `order` of a configuration.
        name: the option's.
        labels: (N,) of the training part.
        seed: of halves and orders.
        epochs: of the run.
        halved: whether an architecture is trained too.

    Raises:
        UsageError: as make_order; halves, and an order other than a shuffle.
    """
    if not halved:
        return make_order(section, name, len(labels), seed, epochs), None
    if get_object(section["_target_"]) is not Shuffle:
        learns = f"order={name} learns from all training images, of which the sampler keeps half for its architecture"
        raise UsageError(f"{learns}: use order=shuffle")
    weights, architecture = stratified_halves(labels, mix(seed, HALVES))
    return Within(weights, seed), Within(architecture, mix(seed, SEARCH))
