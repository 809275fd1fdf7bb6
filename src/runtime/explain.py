"""Clearer lines for what Hydra refuses before a command starts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig

from src.runtime.arguments import with_quotes
from src.runtime.config_reference import CONF, options_of
from src.runtime.errors import UsageError, unknown

LAUNCHERS = (
    'basic | joblib | submitit_local | submitit_slurm after pip install ".[launchers]", ray after hydra-ray-launcher'
)
"""Of Hydra, and where they come from."""


def explain(name: str, arguments: Sequence[str], error: Exception) -> UsageError | None:
    """A clearer line for Hydra's most frequent complaints; None for the others."""
    # signs that are syntax to Hydra
    if isinstance(error, OverrideParseException):
        wrong = next((argument for argument in arguments if not is_readable(argument)), "")
        advice = f"{wrong} has signs that Hydra reads as syntax: write {with_quotes(wrong)}"
        return UsageError(advice) if "=" in wrong else None
    # a config group of another command
    if match := re.search(r"In '([^'/]+)/([^']+)': Could not override '([^']+)'", str(error)):
        return UsageError(f"{match[1]}={match[2]} is for another command: src.{name} has no {match[3]}")
    # a key that does not exist, under the options that were chosen
    if match := re.search(r"Could not override '([^']+)'", str(error)):
        return unknown_key(name, arguments, match[1].split("@")[0])
    # a launcher of a package that is not installed
    if match := re.search(r"Could not find 'hydra/launcher/([^'/]+)'", str(error)):
        return UsageError(f"hydra/launcher={match[1]} is unknown or not installed: {LAUNCHERS}")
    # an option of a group that does not exist
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", str(error)):
        options = options_of(match[1])
        return unknown(match[1], match[2], options) if options else None
    return None


def is_readable(argument: str) -> bool:
    """Whether Hydra's parser takes an argument."""
    # one at a time: the parser does not say which of several is wrong
    try:
        OverridesParser.create().parse_overrides([argument])
    except HydraException:
        return False
    return True


def unknown_key(name: str, arguments: Sequence[str], key: str) -> UsageError:
    """The keys that exist where `key` was looked for, under the options chosen for the config groups."""
    GlobalHydra.instance().clear()
    groups = [argument for argument in arguments if (CONF / argument.partition("=")[0]).is_dir()]
    # a group of another command cannot be composed, nor can a sweep over several options
    chosen = [group for group in groups if "," not in group and group.partition("=")[0] != key]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = hydra.compose(name, chosen)
    # walk down as far as the key is right
    *parents, last = key.split(".")
    known = []
    for parent in parents:
        if not isinstance(node, DictConfig) or parent not in node:
            last = parent
            break
        known.append(parent)
        node = node[parent]
    options = sorted(str(k) for k in node if not str(k).startswith("_")) if isinstance(node, DictConfig) else []
    return unknown(f"key{' in ' + '.'.join(known) if known else ''}", last, options)
