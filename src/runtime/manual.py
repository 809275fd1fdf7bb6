"""`--help`: the manual of a command, written from the comments of conf/ (src/runtime/config_reference.py)."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from src.runtime.config_reference import (
    CONF,
    ConfigFile,
    Entry,
    groups_of,
    merge,
    options_of,
    read_file,
    read_option,
    read_reference,
)
from src.runtime.errors import UsageError, unknown

WIDTH = 98
NO_BREAK = "\N{NO-BREAK SPACE}"
INTERPOLATION = re.compile(r"\$\{([\w.]+)\}")
HYDRA = """Hydra
  +key=value adds a key to a section that takes any; hydra.run.dir=<folder> names the run folder;
  -m runs a sweep, a job for each combination of values with commas, into hydra.sweep.dir;
  --cfg job prints the configuration as YAML; lists are written as [a,b]."""


def print_manual(command: str, overrides: Sequence[str]) -> int:
    """Print the manual of a command with the options that `overrides` choose; returns the exit code."""
    try:
        text = manual(command, overrides)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # the whole text at once, so that a closed pipe shows itself here
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # the reader, such as `head`, has seen enough; Python would complain again while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def manual(command: str, overrides: Sequence[str] = ()) -> str:
    """Usage, examples and explanations, the config groups with their options, and every key.

    Raises:
        UsageError: an override chooses an option that does not exist.
    """
    primary = read_file(CONF / f"{command}.yaml")
    chosen, values = choices(command, primary, overrides)
    entries = compose(command, primary, chosen, values)
    # from what it is for to every key
    usage = f"usage: python -m src.{command} [group=option ...] [key=value ...] [-m] [--help]"
    parts = [usage, primary.header]
    if chosen:
        lines = ["Groups: group=option chooses the file conf/<group>/<option>.yaml", *groups(command, chosen)]
        parts.append("\n".join(lines))
    parts.append("\n".join(["Keys: default, meaning, [values]", *keys(entries, chosen)]))
    return "\n\n".join([*parts, HYDRA])


def choices(command: str, primary: ConfigFile, overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The option of each group (`null`: none), and the values of keys, as the overrides set them."""
    defaults = {group: option or "null" for _, group, option in primary.defaults if group in groups_of(primary)}
    pairs = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    # an override of a group chooses an option, any other one sets a key
    asked = {group: pairs.pop(group) for group in defaults if group in pairs}
    for group, option in asked.items():
        options = options_of(group, command)
        asked[group] = option = option.split(",")[0]
        if option not in (*options, "null"):
            raise unknown(group, option, options)
    # an experiment chooses options of other groups, which the command line may change again
    experiment = asked.get("experiment", "null")
    if experiment != "null":
        file = read_option("experiment", experiment)
        defaults |= {group: option for kind, group, option in file.defaults if kind == "override" and option}
    chosen = defaults | asked
    resolved = {group: resolve(option, chosen) for group, option in chosen.items()}
    return {group: option if option in options_of(group) else "null" for group, option in resolved.items()}, pairs


def compose(command: str, primary: ConfigFile, chosen: dict[str, str], values: dict[str, str]) -> dict[str, Entry]:
    """Every key of the command with these options, with the default that it then has."""
    reference = read_reference(command)
    entries = dict(primary.entries)
    for group, option in chosen.items():
        if option == "null":
            continue
        for key, entry in read_option(group, option).entries.items():
            entries[key] = replace(merge(entry, entries.get(key, entry)), default=entry.default)
    # overrides before interpolations, which may name the keys they set
    for key, value in values.items():
        if key in entries:
            entries[key] = replace(entries[key], default=value)
    # what another file of the group explains
    explained = {key: merge(entry, reference.find(key, entry.target) or entry) for key, entry in entries.items()}
    defaults = {key: entry.default for key, entry in entries.items()}
    return {key: replace(entry, default=resolve(entry.default, defaults)) for key, entry in explained.items()}


def resolve(text: str, defaults: dict[str, str]) -> str:
    """A default with `${key}` replaced by that key's; what is not in the configuration stays as it is."""
    for _ in range(5):  # the deepest chain in conf/ has three links
        text = INTERPOLATION.sub(lambda match: defaults.get(match[1]) or match[0], text)
    return text


def groups(command: str, chosen: dict[str, str]) -> list[str]:
    """Lines: each group with its options, the chosen one marked, by the first line of their comments."""
    lines = []
    for group, option in chosen.items():
        lines.append(f"  {group}={option}")
        for name in options_of(group, command):
            first = read_option(group, name).header.partition("\n")[0]
            lines.append(wrapped(f"    {'*' if name == option else ' '} {name}", first, column=22))
    return lines


def keys(entries: dict[str, Entry], chosen: dict[str, str]) -> list[str]:
    """Lines: single keys first, then each section under its heading."""
    lines: list[str] = []
    top = [entry for entry in entries.values() if "." not in entry.key]
    for entry in sorted(top, key=lambda entry: is_section(entry, entries)):
        if not is_section(entry, entries):
            lines += [line(entry, indent=2)] if entry.spec else []
            continue
        # _target_ and the like, and keys below a section that takes any, are not explained
        inner = [e for e in entries.values() if e.key.startswith(f"{entry.key}.")]
        shown = [e for e in inner if not e.key.rpartition(".")[2].startswith("_") and (e.spec or e.meaning)]
        if shown:
            of_option = f"of {entry.key}={chosen[entry.key]}" if entry.key in chosen else ""
            lines += ["", wrapped(f"  {entry.key}:", entry.meaning or of_option), *(line(e, indent=4) for e in shown)]
    return lines


def is_section(entry: Entry, entries: dict[str, Entry]) -> bool:
    """Whether other keys are below this one."""
    return any(key.startswith(f"{entry.key}.") for key in entries)


def line(entry: Entry, indent: int) -> str:
    """One key: `budget.epochs=null  meaning [values]`, wrapped."""
    values = entry.spec.text if entry.spec else "any keys" if entry.is_open else ""
    default = f"={entry.default}" if entry.default else ""
    # the values stay on one line
    text = " ".join(filter(None, [entry.meaning, f"[{values}]".replace(" ", NO_BREAK) if values else ""]))
    return wrapped(f"{' ' * indent}{entry.key}{default}", text, column=32)


def wrapped(start: str, text: str, column: int = 0) -> str:
    """`text` behind `start`, from `column` on; below it where `start` is longer. 0: where `start` ends."""
    column = column or len(start) + 1
    paragraph = textwrap.wrap(text, WIDTH - column, break_long_words=False, break_on_hyphens=False) or [""]
    lines = [" " * column + line.replace(NO_BREAK, " ") for line in paragraph]
    if len(start) < column:
        lines[0] = start.ljust(column) + lines[0].lstrip()
    else:
        lines = [start, *lines]
    return "\n".join(lines).rstrip()
