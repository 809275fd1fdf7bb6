"""Arguments as people type them: paths and names whose letters Hydra's grammar knows as syntax are quoted for it.

`dataset.root=/data/图片`, `run=~/runs/a`, `out=results (old)`, `arch=|none~0|+|...`: unquoted, Hydra's lexer refuses
letters beyond ASCII and the signs ~ = ( ) , and some others.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from src.runtime.config_reference import read_reference
from src.runtime.value_spec import Kind

PLACES = ("hydra.run.dir", "hydra.sweep.dir")
"""Folders among Hydra's own keys."""
TEXTS = tuple(map(Kind, ("file", "folder", "text", "any")))
ARGUMENT = re.compile(r"(\+{0,2})([\w.]+)=(.*)", re.DOTALL)
PLAIN = re.compile(r"[A-Za-z0-9_/+.$%*@?|:\- ]*")
"""Values that Hydra reads as they stand."""
FUNCTIONS = "choice|range|interval|glob|shuffle|sort|tag|extend_list|int|float|str|bool|json_str"
SYNTAX = re.compile(rf"""["'\[{{]|({FUNCTIONS})\(.*\)$|.*\$\{{""", re.DOTALL)
"""The start of a value that is meant for Hydra: quotes, a list, a mapping, a function, or anything with ${...}."""
MULTIRUN = ("-m", "--multirun")


def quoted_texts(command: str, arguments: Sequence[str]) -> list[str]:
    """The arguments of `command`, with quotes around the values of text keys that need them; `~` is the home folder.

    In a sweep commas separate values, and each is quoted for itself.
    """
    keys = text_keys(command)
    is_sweep = any(argument in MULTIRUN for argument in arguments)
    return [quoted_argument(argument, keys, is_sweep) for argument in arguments]


def text_keys(command: str) -> frozenset[str]:
    """The keys of a command that take a file, a folder or text."""
    entries = read_reference(command).entries.values()
    return frozenset(e.key for e in entries if e.spec and any(a in TEXTS for a in e.spec.alternatives)) | {*PLACES}


def quoted_argument(argument: str, keys: frozenset[str], is_sweep: bool) -> str:
    """One argument; it stays as it is where its key takes no text, or its value is Hydra's syntax."""
    match = ARGUMENT.fullmatch(argument)
    if match is None or match[2] not in keys or SYNTAX.match(match[3]):
        return argument
    # in a sweep a comma between quotes or brackets separates nothing: left to Hydra
    plus, key, value = match.groups()
    if is_sweep and re.search(r"""["'\[({]""", value):
        return argument
    parts = value.split(",") if is_sweep else [value]
    return f"{plus}{key}={','.join(map(quoted, parts))}"


def quoted(value: str) -> str:
    """A value with `~` expanded, in double quotes if Hydra would not read it otherwise."""
    value = os.path.expanduser(value) if value.startswith("~") else value  # noqa: PTH111 - Path raises for unknown users
    if PLAIN.fullmatch(value):
        return value
    # backslashes count only before a quote
    escaped = re.sub(r'(\\*)(")', r"\1\1\\\2", value)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def with_quotes(argument: str) -> str:
    """The argument in quotes for Hydra, and in those for a shell."""
    key, _, value = argument.partition("=")
    return shlex.quote(f'{key}="{value}"')
