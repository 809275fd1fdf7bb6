"""Builds the data set of a configuration, as it is now or as a stored run had it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate

from src.datasets.dataset import Dataset


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
