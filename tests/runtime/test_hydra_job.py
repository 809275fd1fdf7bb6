"""Errors of the run and of the machine are one line and exit code 1; bugs keep their traceback."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest
from omegaconf import DictConfig

from src.runtime.errors import RunError
from src.runtime.interrupts import finishing
from src.runtime.launch import launch


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RunError("the loss is not finite"), "error: the loss is not finite"),
        (OSError(errno.ENOSPC, "No space left on device", "scores.csv"), "error: scores.csv: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "error: a file: Permission denied"),
    ],
)
def test_one_line_and_exit_code_1(
    error: Exception, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(cfg: DictConfig, folder: Path) -> None:
        raise error

    assert launch("describe", task, [f"hydra.run.dir={tmp_path}/run"]) == 1
    assert capsys.readouterr().err == line + "\n"


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    def task(cfg: DictConfig, folder: Path) -> None:
        (folder / "nowhere" / "file").read_text()

    with pytest.raises(FileNotFoundError):
        launch("describe", task, [f"hydra.run.dir={tmp_path}/run"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["composition", "task"])
def test_a_signal_outside_of_training_is_one_line_and_exit_code_130(
    where: str,
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **settings: object) -> None:
        signal.raise_signal(number)
        raise AssertionError("the signal was ignored")

    if where == "composition":
        monkeypatch.setattr("hydra._internal.hydra.Hydra.compose_config", interrupt)
    before = signal.getsignal(signal.SIGTERM)
    assert launch("describe", interrupt, [f"hydra.run.dir={tmp_path}/run"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_stop_that_is_over_takes_no_signals() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), finishing() as stop:
        raise RuntimeError
    stop.take_signals()
    assert signal.getsignal(signal.SIGTERM) == before
