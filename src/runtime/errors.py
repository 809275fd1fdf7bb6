"""The ways a command ends early, each shown as one line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

MACHINE_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE),
)
"""Numbers of the system errors that are the machine's fault: a full disk, no permission, a lost network disk."""


class UsageError(ValueError):
    """Bad input: the command prints this one line, which names what would be right, and exits with 2."""


class RunError(RuntimeError):
    """A run that cannot continue, for a reason that one line can say: exit code 1."""


class DivergedError(RunError):
    """A loss that is not finite: the same run would diverge again."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: the step in progress was finished and saved; exit code 130."""


class ProcessFailedError(Exception):
    """One of the processes of a run on several devices failed, and has printed why; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def unknown(kind: str, value: object, options: Iterable[object]) -> UsageError:
    """The error for a word that is not among `options`; it suggests the nearest one."""
    names = [str(option) for option in options]
    # close enough to be a slip of the keyboard
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UsageError(f"unknown {kind} '{value}': the options are {', '.join(names)}{hint}")
