"""Check the values of a configuration against the comments of conf/, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from src.runtime.config_reference import HIDDEN, Reference, options_of, read_reference
from src.runtime.errors import UsageError, unknown
from src.runtime.value_spec import written


def check_keys(config: Mapping[Any, Any], command: str) -> None:
    """Refuse values that the comments in conf/<command>.yaml and its groups do not allow.

    Only keys that are there are looked at: a run stored by older code may lack some. Rules between several keys are
    in the `config_checks` of each room.

    Raises:
        UsageError: a value out of its range or not among the choices, or an unknown key in a section.
    """
    check_section(config, "", None, read_reference(command))


def check_section(section: Mapping[Any, Any], path: str, target: str | None, reference: Reference) -> None:
    """Check the keys of a section and of all sections in it.

    Args:
        section: its keys and values.
        path: its dotted key; empty for the root.
        target: the nearest `_target_` above it.
        reference: the explained keys.
    """
    # the nearest class, whose own file explains its keys
    target = section.get("_target_", target)
    for name in section:
        key = f"{path}.{name}" if path else str(name)
        # the root is left to Hydra, which refuses unknown keys itself; a _target_ has a constructor that knows its own
        entry = reference.find(key, target) or (reference.find(key, None) if not path else None)
        if entry is None and path and target is None:
            raise unknown(f"key in {path}", name, reference.below(path, target))
        if entry is None or key in HIDDEN:
            continue
        # what the value has to be: a section of known keys, or a value that the brackets allow
        value = section[name]
        inner = value.get("_target_", target) if isinstance(value, Mapping) else target
        names = reference.below(key, inner)
        if entry.is_open or (value is None and key in reference.nullable and entry.spec is None):
            continue
        if isinstance(value, Mapping) and (names or inner is not None):
            check_section(value, key, inner, reference)
        elif entry.spec is None and names:
            raise UsageError(f"{key}={written(value)}: it is a section with the keys {', '.join(names)}")
        elif entry.spec is not None and not entry.spec.accepts(value):
            # a key that the option `none` of its group does without: another option is meant
            options = options_of(path)
            if entry.spec.described() == "null" and "none" in options:
                others = "|".join(option for option in options if option != "none")
                raise UsageError(f"{key}={written(value)}: choose {path}={others} too")
            raise entry.spec.refusal(key, value)
