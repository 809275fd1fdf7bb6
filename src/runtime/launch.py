"""The entry point of every command: `--help` from the comments of conf/, else Hydra around one task.

Exit codes: 0 done, 1 the run cannot continue, 2 bad input, 130 interrupted after a finished step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from src.runtime.interrupts import INTERRUPTED, MESSAGE, interrupting
from src.runtime.manual import print_manual

if TYPE_CHECKING:
    from omegaconf import DictConfig

Task = Callable[["DictConfig", Path], None]
HELP = ("--help", "-h")


class CommandLine(NamedTuple):
    """The overrides and the mode of the task in progress."""

    overrides: list[str]
    """`key=value`, without Hydra's own keys; of a sweep those of this job."""
    is_sweep: bool


def launch(name: str, task: Task, argv: Sequence[str] | None = None) -> int:
    """Run `task(cfg, run folder)` on the configuration conf/<name>.yaml with overrides `argv`; returns the exit code.

    With --multirun the task runs once per job of the sweep; the first job that is refused ends the sweep.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(argument in HELP for argument in arguments):
        return print_manual(name, [argument for argument in arguments if argument not in HELP])

    try:
        with interrupting():
            from src.runtime.hydra_job import run_job  # late: the manual needs no Hydra

            return run_job(name, task, arguments)
    except KeyboardInterrupt:  # before the task: while Hydra is imported or composes
        print(MESSAGE, file=sys.stderr, flush=True)
        return INTERRUPTED


def command_line() -> CommandLine:
    """The command line of the task that Hydra runs now."""
    from hydra.core.hydra_config import HydraConfig  # late, as above
    from hydra.types import RunMode

    settings = HydraConfig.get()
    return CommandLine(list(settings.overrides.task), settings.mode == RunMode.MULTIRUN)
