"""The entry point of every command: Hydra around one task, one line for each mistake, an exit code.

0 done, 1 the run cannot go on, 2 bad input, 130 interrupted after a finished step.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

os.environ["HYDRA_FULL_ERROR"] = "1"  # before Hydra is imported: its errors then reach us instead of the terminal

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.runtime.errors import ProcessFailedError, RunError, UsageError, unknown
from src.runtime.processes import is_first

CONF = Path(__file__).resolve().parents[2] / "conf"
INTERRUPTED = 130
CALLERS = (UsageError, TypeError, ValueError, ImportError, AttributeError)
"""What an object made from a configuration raises when a value in it is wrong."""
LAUNCHERS = (
    'basic | joblib | submitit_local | submitit_slurm after pip install ".[launchers]", ray after hydra-ray-launcher'
)
"""Of Hydra, and where they come from."""
Task = Callable[[DictConfig, Path], None]


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: the step in progress was finished and saved."""


def launch(name: str, task: Task, argv: Sequence[str] | None = None) -> int:
    """Run `task(cfg, run folder)` on the configuration conf/<name>.yaml with overrides `argv`; returns the exit code.

    With --multirun the task runs once per job of the sweep; the first job that is refused ends the sweep.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    arguments.sort(key=lambda argument: argument not in ("-m", "--multirun"))  # Hydra takes flags before or after keys
    job = _Job(name, task)
    try:
        _check_resume(arguments)
        with _composing(job, arguments):
            job.hydra_main()
    except _Ended as ended:
        return ended.code
    return 0


class _Ended(SystemExit):
    """Leaves Hydra's launchers with an exit code; they would turn any other exception into lines of their own."""

    code: int


@dataclass
class _Job:
    """The task as Hydra calls it."""

    name: str
    task: Task
    started: bool = False

    def hydra_main(self) -> None:
        """Compose the configuration from sys.argv and run the task on it."""
        OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=self.name)(self)()

    def __call__(self, cfg: DictConfig) -> None:
        """One run: bad input leaves no folder behind."""
        self.started = True
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            with _mistakes():
                self.task(cfg, folder)
        finally:
            _remove_if_empty(folder)


def _run_dir(resume: str | None, dated: str) -> str:
    """The folder to resume, or a new dated one."""
    return resume or dated


def _check_resume(arguments: Sequence[str]) -> None:
    """Refuse `resume=` of a folder that does not exist, before Hydra creates it."""
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "resume" and value not in ("", "null") and not Path(value.strip("'\"")).is_dir():
            _end(2, f"resume={value}: there is no such run folder")


def _remove_if_empty(folder: Path) -> None:
    """Leave no trace of a command that was refused before it wrote anything."""
    with suppress(OSError):  # it has files, or another process of the same command was faster
        folder.rmdir()


def _end(code: int, line: str) -> None:
    if is_first() or code == 1:  # of several processes all would say the same
        print(f"{'error: ' if code in (1, 2) else ''}{line}", file=sys.stderr, flush=True)
    raise _Ended(code)


@contextmanager
def _mistakes() -> Iterator[None]:
    """Turn the errors that a caller can mend into one line and an exit code; let mistakes of ours through."""
    try:
        yield
    except RunError as error:
        _end(1, _one_line(error))
    except ProcessFailedError as error:
        raise _Ended(error.code) from None
    except (Interrupted, KeyboardInterrupt) as error:
        _end(INTERRUPTED, str(error) or "interrupted")
    except (UsageError, OmegaConfBaseException, HydraException) as error:
        cause = error.__cause__ if isinstance(error, HydraException) else None
        if isinstance(cause, Exception) and not isinstance(cause, CALLERS):
            raise
        _end(2, _one_line(cause or error))


@contextmanager
def _composing(job: _Job, arguments: list[str]) -> Iterator[None]:
    """Hand the arguments to Hydra; whatever goes wrong before the task starts is the arguments' fault."""

    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        raise UsageError(f"{message}: write options as key=value; --help lists them")

    GlobalHydra.instance().clear()
    with (
        mock.patch.object(argparse.ArgumentParser, "error", refuse),
        mock.patch.object(sys, "argv", [f"src/{job.name}.py", *arguments]),
    ):
        try:
            yield
        except Exception as error:
            if job.started:
                raise
            _end(2, _one_line(_explain(job.name, arguments, error) or error))


def _explain(name: str, arguments: Sequence[str], error: Exception) -> UsageError | None:
    """A clearer line for Hydra's two most frequent complaints; None for the others."""
    if found := re.search(r"In '([^'/]+)/([^']+)': Could not override '([^']+)'", str(error)):
        return UsageError(f"{found[1]}={found[2]} is for another command: src.{name} has no {found[3]}")
    if found := re.search(r"Could not override '([^']+)'", str(error)):
        return _unknown_key(name, arguments, found[1].split("@")[0])
    if found := re.search(r"Could not find 'hydra/launcher/([^'/]+)'", str(error)):
        return UsageError(f"hydra/launcher={found[1]} is unknown or not installed: {LAUNCHERS}")
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'", str(error)):
        options = sorted(path.stem for path in (CONF / found[1]).glob("*.yaml"))
        return unknown(found[1], found[2], options) if options else None
    return None


def _unknown_key(name: str, arguments: Sequence[str], key: str) -> UsageError:
    """The keys that exist where `key` was looked for, under the options chosen for the config groups."""
    GlobalHydra.instance().clear()
    groups = [argument for argument in arguments if (CONF / argument.partition("=")[0]).is_dir()]
    chosen = [group for group in groups if "," not in group and group.partition("=")[0] != key]  # of another command
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = hydra.compose(name, chosen)
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


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line) or type(error).__name__
