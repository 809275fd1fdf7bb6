"""Compose a configuration with Hydra, run a task on it, and turn every mistake into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

os.environ["HYDRA_FULL_ERROR"] = "1"  # before Hydra is imported: its errors then reach us instead of the terminal

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from src.runtime import elite_space  # noqa: F401 - registers the resolver ranges_of
from src.runtime.arguments import quoted_texts
from src.runtime.config_reference import CONF
from src.runtime.errors import (
    MACHINE_ERRORS,
    DivergedError,
    Interrupted,
    ProcessFailedError,
    RunError,
    UsageError,
)
from src.runtime.explain import explain
from src.runtime.interrupts import INTERRUPTED, MESSAGE
from src.runtime.main_figure import LOWEST, main_figure
from src.runtime.processes import is_first
from src.runtime.resume import IMAGES
from src.runtime.run_folder import FRESH
from src.runtime.sweep import (
    DIVERGED,
    SWEPT,
    SweepStart,
    count_jobs,
    earlier_divergence,
    note_job,
    show_failed_jobs,
    swept_keys,
)

if TYPE_CHECKING:
    from src.runtime.launch import Task

FAILED, BAD_INPUT = 1, 2
INPUT_ERRORS = (UsageError, TypeError, ValueError, ImportError, AttributeError)
"""What a `_target_` of the configuration raises when a value for it is wrong."""


def run_job(name: str, task: Task, arguments: Sequence[str]) -> int:
    """Run the task on the configuration conf/<name>.yaml with these arguments; returns the exit code."""
    # Hydra takes flags before or after keys, not between them
    arguments = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
    arguments = with_root_of_run(quoted_texts(name, arguments))
    keys = [argument for argument in arguments if "=" in argument]
    job, SweepStart.folder = Job(name, task, keys), None
    environment = {SWEPT: " ".join(swept_keys(arguments)), FRESH: "{}"}
    try:
        check_resume(arguments)
        with explain_refusals(job, arguments), mock.patch.dict(os.environ, environment):
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
    except Ended as ended:
        return ended.code
    return show_failed_jobs(SweepStart.folder)


def program(name: str) -> str:
    """The name of this process' program, by which Hydra's shell completion knows it: `fairpath-train`, or a script."""
    return sys.argv[0] if Path(sys.argv[0]).name.startswith("fairpath-") else f"src/{name}.py"


def with_root_of_run(arguments: Sequence[str]) -> list[str]:
    """Let the keys of images be set beside resume= and run=, where the data set is the stored one, not the default."""
    stored = any(argument.startswith(("resume=", "run=")) for argument in arguments)
    keys = tuple(f"{name}=" for name in IMAGES)
    return [f"++{argument}" if stored and argument.startswith(keys) else argument for argument in arguments]


class Ended(SystemExit):
    """Leaves Hydra's launchers with an exit code; they would turn any other exception into lines of their own."""

    code: int
    reason = ""
    """The line that was printed."""
    diverged = False


@dataclass
class Job:
    """The task as Hydra calls it: once, or once for each job of a sweep."""

    name: str
    task: Task
    arguments: Sequence[str] = ()
    """Keys of the command line."""
    started: bool = False

    def __call__(self, cfg: DictConfig) -> float:
        """One run; returns its main figure, LOWEST where the job failed, for sweepers that look for the best.

        Bad input leaves no folder behind. In a sweep a job that fails is noted, and the others go on.
        """
        self.started = True
        folder = Path(HydraConfig.get().runtime.output_dir)
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            run_in(folder, partial(self.task, cfg, folder))
            return main_figure(folder, self.name)
        sweep_dir = Path(HydraConfig.get().sweep.dir)
        if (reason := earlier_divergence(folder)) and not cfg.get("retry_diverged"):
            note_job(sweep_dir, folder, FAILED, f"{reason} (earlier; retry_diverged=true tries again)")
            return LOWEST
        (folder / DIVERGED).unlink(missing_ok=True)
        print(self.heading())
        try:
            run_in(folder, partial(self.task, cfg, folder))
        except Ended as ended:
            if ended.code == INTERRUPTED:
                raise
            note_job(sweep_dir, folder, ended.code, ended.reason, ended.diverged)
            return LOWEST
        note_job(sweep_dir, folder)
        return main_figure(folder, self.name)

    def heading(self) -> str:
        """`job 4 of 60: strict_fair_mini_seed3`, of the job that Hydra runs now."""
        settings = HydraConfig.get()
        total = count_jobs(self.arguments, settings.sweeper.get("params"))
        return f"job {int(settings.job.num) + 1}{f' of {total}' if total else ''}: {settings.sweep.subdir}"


def run_in(folder: Path, task: Callable[[], None]) -> None:
    """Run a task, its errors turned into an exit code; a folder that is left empty is removed."""
    # bad input is printed and leaves by SystemExit, after the folder that Hydra made is gone
    try:
        with errors_as_exit_codes():
            task()
    finally:
        # only an empty folder is removed: not one with files, nor one that another process of the run removed first
        with suppress(OSError):
            folder.rmdir()


def check_resume(arguments: Sequence[str]) -> None:
    """Refuse `resume=` of a folder that does not exist, before Hydra creates it."""
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "resume" and value not in ("", "null") and not Path(value.strip("'\"")).is_dir():
            end(BAD_INPUT, f"resume={value}: there is no such run folder")


def end(code: int, line: str, diverged: bool = False) -> None:
    """Print one line and leave with the exit code. Of several processes only the first one repeats bad input."""
    if is_first() or code == FAILED:
        print(f"{'error: ' if code != INTERRUPTED else ''}{line}", file=sys.stderr, flush=True)
    ended = Ended(code)
    ended.reason, ended.diverged = line, diverged
    raise ended


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End with one line for errors of the input, of the run, of the machine and of signals; bugs keep their traceback.

    Hydra wraps what a `_target_` raises: the cause says what happened.
    """
    try:
        yield
    except ProcessFailedError as error:
        raise Ended(error.code) from None
    except (Interrupted, KeyboardInterrupt) as error:
        end(INTERRUPTED, str(error) or MESSAGE)
    except Exception as error:
        wrapped = error.__cause__ if isinstance(error, HydraException) else None
        cause = wrapped if isinstance(wrapped, Exception) else error
        if (line := failure(cause)) is not None:
            end(FAILED, line, isinstance(cause, DivergedError))
        if isinstance(cause, InterpolationKeyError):  # as an experiment's budget that this space says nothing about
            end(BAD_INPUT, f"{cause.full_key}: {str(cause).splitlines()[0]}; give {cause.full_key}=...")
        is_input = isinstance(cause, UsageError | OmegaConfBaseException | HydraException)
        if is_input or (wrapped is not None and isinstance(cause, INPUT_ERRORS)):
            end(BAD_INPUT, one_line(cause_of(cause, UsageError) or cause))
        raise


def failure(error: Exception) -> str | None:
    """The line of a run that cannot go on through no fault of its input; None for other errors."""
    if isinstance(error, RunError):
        return one_line(error)
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        return f"{error.filename or 'a file'}: {error.strerror}"
    # torch's only sign that a process of a data loader was killed; it comes at any moment
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return f"{one_line(error).rstrip('.')}: out of memory? Resume with fewer dataset.workers, or 0"
    return None


@contextmanager
def explain_refusals(job: Job, arguments: list[str]) -> Iterator[None]:
    """Hand the arguments to Hydra; whatever goes wrong before the task starts is an error in the arguments."""

    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        raise UsageError(f"{message}: write options as key=value; --help lists them")

    # a process may run several commands, as the tests do; argparse would exit with a usage text of Hydra's
    GlobalHydra.instance().clear()
    with (
        mock.patch.object(argparse.ArgumentParser, "error", refuse),
        mock.patch.object(sys, "argv", [program(job.name), *arguments]),
    ):
        try:
            yield
        except Exception as error:
            if job.started:
                raise
            # the folder of the run could not be made: by Hydra, or by a resolver, whose errors OmegaConf wraps
            cause = cause_of(error, OSError)
            if isinstance(cause, OSError) and (line := failure(cause)) is not None:
                end(FAILED, line)
            end(BAD_INPUT, one_line(explain(job.name, arguments, error) or cause_of(error, UsageError) or error))


def cause_of(error: BaseException, kind: type[Exception]) -> BaseException | None:
    """The first error of a kind among an error and those that it was raised from or while handling."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause


def one_line(error: BaseException) -> str:
    """The message of an error without its line breaks."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line) or type(error).__name__
