"""A file that cannot be written: one line that names it and the cause, exit 1, nothing half written, and it goes on."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from src import rank, train
from src.runtime.checkpoint import write_tensors
from src.runtime.launch import launch
from src.runtime.run_folder import METRICS, append_rows, replace_file
from tests.datasets.made_images import make_classes


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel refuses to write more bytes to a file, as a full disk or a quota does, with another number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    replace_file(tmp_path / "a.txt", "old")
    with no_file_beyond(1000), pytest.raises(OSError, match="File too large") as caught:
        replace_file(tmp_path / "a.txt", "new" * 1000)
    assert caught.value.filename == str(tmp_path / "a.txt") and caught.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_rows_are_added_all_or_none(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    append_rows(table, ["a"], [{"a": 1}])
    with no_file_beyond(1000), pytest.raises(OSError, match="File too large") as caught:
        append_rows(table, ["a"], [{"a": 7_000_000}] * 500)
    assert caught.value.filename == str(table)
    assert table.read_text() == "a\n1\n"
    append_rows(table, ["a"], [{"a": 2}])
    assert table.read_text() == "a\n1\n2\n"


def test_tensors_name_the_cause_too(tmp_path: Path) -> None:
    with no_file_beyond(1000), pytest.raises(OSError, match="File too large"):
        write_tensors({"a": torch.zeros(5000)}, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


SHORT = ["batch_size=100", "validation.paths=2", "ranking.paths=3", "ranking.images=50", "benchmark=none", "logger=csv"]


def test_a_training_stops_in_one_line_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    asked = [*SHORT, "budget.steps=6", "save_every=0"]
    assert launch("train", train.main, [*asked, f"hydra.run.dir={whole}"]) == 0
    size = (whole / "checkpoints" / "last.ckpt").stat().st_size
    capsys.readouterr()
    with no_file_beyond(size // 2):
        assert launch("train", train.main, [*asked, f"hydra.run.dir={cut}"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"error: {cut / 'checkpoints' / 'last.ckpt'}: {os.strerror(errno.EFBIG)}"]
    assert not list(cut.rglob("*.tmp*"))
    assert launch("train", train.main, [f"resume={cut}"]) == 0
    times = ("train/images_per_second", "wall_seconds")
    assert without(times, cut / METRICS) == without(times, whole / METRICS)


def without(columns: tuple[str, ...], table: Path) -> list[list[str]]:
    header, *rows = [line.split(",") for line in table.read_text().splitlines()]
    kept = [i for i, name in enumerate(header) if name not in columns]
    return [[row[i] for i in kept] for row in rows]


def test_a_disk_that_is_full_from_the_start_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert launch("train", train.main, [*SHORT, "budget.steps=1", f"hydra.run.dir={run}"]) == 0
    capsys.readouterr()
    opened = Path.open

    def full(self: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if mode[0] in "wa":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, mode, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    assert launch("train", train.main, [f"resume={run}", "budget.steps=2"]) == 1
    assert launch("rank", rank.main, [f"run={run}", "paths=2", f"hydra.run.dir={tmp_path / 'rank'}"]) == 1
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == [os.strerror(errno.ENOSPC)] * 2


@pytest.mark.slow
def test_a_killed_worker_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path / "images", 30)
    data = [f"dataset.root={tmp_path / 'images'}", "image_size=8", "dataset.memory_limit_mb=0", "dataset.workers=1"]
    kill = tmp_path / "kill.py"
    kill.write_text(
        "import os, signal, sys\nfrom src import train\nfrom src.datasets import worker\n"
        "from src.runtime.launch import launch\n"
        "def dying(self, request):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "worker.Replies.__getitem__ = dying\nsys.exit(launch('train', train.main))\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            str(kill),
            "dataset=image_folder",
            *data,
            *SHORT,
            "batch_size=20",
            f"hydra.run.dir={tmp_path}/r",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(lines) == 1 and "DataLoader worker" in lines[0] and "dataset.workers" in lines[0]
    assert "Traceback" not in done.stderr


def test_an_image_cache_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path / "images", 8, 40)
    cache = tmp_path / "cache"
    data = ["dataset=image_folder", f"dataset.root={tmp_path / 'images'}", f"dataset.cache={cache}"]
    with no_file_beyond(10_000):
        assert launch("train", train.main, [*data, *SHORT, f"hydra.run.dir={tmp_path / 'run'}"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "dataset.cache=null" in line and str(cache) in line
    assert not list(cache.iterdir())


@pytest.mark.parametrize("key", ["hydra.run.dir={}/run", 'hydra.run.dir="${{run_dir:${{resume}},{}/run}}"'])
def test_a_run_folder_that_cannot_be_made_is_the_machines_fault(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert launch("train", train.main, [*SHORT, key.format(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'run'}: {os.strerror(errno.EROFS)}\n"
