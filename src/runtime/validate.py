"""Checks of configuration values, made before anything heavy is imported or trained."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from omegaconf import DictConfig

from src.runtime.errors import UsageError, unknown


def number(
    cfg: DictConfig,
    key: str,
    low: float = -math.inf,
    high: float = math.inf,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Refuse a value that is no number in the closed interval [low, high]; null passes if it is `optional`."""
    value = _select(cfg, key)
    if value is None and optional:
        return
    kind = "whole number" if whole else "number"
    if not _is_number(value, whole) or not low <= value <= high or not math.isfinite(value):
        raise UsageError(f"{key}={_written(value)}: use a {kind} {_interval(low, high)}")


def only(cfg: DictConfig, section: str, keys: Collection[str]) -> None:
    """Refuse a section that is no mapping, or that has a key of its own invention."""
    node = _select(cfg, section)
    if not isinstance(node, DictConfig):
        raise UsageError(f"{section}={_written(node)}: it is a section with the keys {', '.join(keys)}")
    for key in node:
        if key not in keys:
            raise unknown(f"key in {section}", key, keys)


def one_of(cfg: DictConfig, key: str, options: Sequence[str]) -> None:
    """Refuse a value that is not among the options."""
    value = _select(cfg, key)
    if value not in options:
        raise unknown(key, value, options)


def boolean(cfg: DictConfig, key: str) -> None:
    """Refuse a value that is not true or false."""
    value = _select(cfg, key)
    if not isinstance(value, bool):
        raise UsageError(f"{key}={value}: use true or false")


def _is_number(value: object, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _select(cfg: DictConfig, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            raise UsageError(f"{key} is missing: what stands above it is no section but {_written(node)}")
        node = node[part]
    return node


def _written(value: object) -> str:
    """As it is written on a command line."""
    return "null" if value is None else str(value)


def _interval(low: float, high: float) -> str:
    if math.isinf(high):
        return f"of at least {low:g}"
    return f"from {low:g} to {high:g}"
