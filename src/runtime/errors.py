"""The two ways a command ends early, each shown as one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """The caller's mistake: the command prints this one line, naming what would be right, and exits with 2."""


class RunError(RuntimeError):
    """A run that cannot go on, such as a loss that is not finite: one line, exit code 1."""


class ProcessFailedError(Exception):
    """One of the processes of a run on several devices failed; it has said why itself."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def unknown(kind: str, given: object, options: Iterable[object]) -> UsageError:
    """The error for a word that is not among `options`, with the nearest one pointed at."""
    names = [str(option) for option in options]
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UsageError(f"unknown {kind} '{given}': the options are {', '.join(names)}{hint}")
