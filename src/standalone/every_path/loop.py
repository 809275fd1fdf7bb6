"""Ground truth of a small space: every network trained alone with several seeds, by a few worker processes."""

from __future__ import annotations

import csv
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from src.runtime.errors import RunError
from src.runtime.progress import progress
from src.runtime.run_folder import append_rows, replace_file
from src.standalone.bare_loop import accuracy, train_alone
from src.standalone.every_path.build import GroundTruthSettings, build_subject

RUNS = "runs.csv"
RUN_COLUMNS = ("arch", "seed", "test", "val")


def train_all(settings: GroundTruthSettings, folder: Path) -> None:
    """Train every network with every seed."""
    space = build_subject(settings.spec).space
    # Seed by seed: whoever stops early has every network with fewer seeds, not a few networks with all.
    jobs = [(space.format(p), seed) for seed in range(settings.seeds) for p in settings.paths]
    train_missing(settings.spec, settings.workers, jobs, folder)


def train_missing(spec: str, workers: int, jobs: Sequence[tuple[str, int]], folder: Path) -> None:
    """Add to runs.csv each (arch, seed) of `jobs` that is not there yet, one line as each is trained."""
    runs = folder / RUNS
    finished = finished_runs(runs)
    missing = [job for job in jobs if job not in finished]

    # Ctrl-C reaches the whole process group: the workers ignore it and this process cancels what they have not begun.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        with progress("train alone", "net", len(jobs), len(jobs) - len(missing)) as bar:
            for future in as_completed([pool.submit(train_one, spec, arch, seed) for arch, seed in missing]):
                append_rows(runs, RUN_COLUMNS, [future.result()])
                bar.update()
    except BrokenProcessPool:
        raise RunError(
            f"a worker was killed, perhaps for want of memory: the same command goes on from {runs}"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def finished_runs(path: Path) -> set[tuple[str, int]]:
    """(arch, seed) of the rows of runs.csv; a last line that a kill left half written is dropped from the file."""
    if not path.exists():
        return set()
    # Rows are appended, so only the last one can lack its line break.
    text = path.read_text()
    replace_file(path, text[: text.rfind("\n") + 1])
    with path.open(newline="") as file:
        return {(row["arch"], int(row["seed"])) for row in csv.DictReader(file)}


def train_one(spec: str, arch: str, seed: int) -> dict[str, str | int | float]:
    """One row of runs.csv: a network trained with one seed, and its top-1 on test and validation images."""
    space, dataset, recipe = build_subject(spec)
    net = train_alone(space, space.parse(arch), dataset, recipe, seed)
    # Ranked by test images: a supernet is scored on the validation images.
    scores = {part: round(accuracy(net, dataset, part), 6) for part in ("test", "val")}
    return {"arch": arch, "seed": seed, **scores}
