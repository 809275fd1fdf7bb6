"""The search itself: ask, score what is new, tell, save; a generation is lost at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.analysis.pareto import front, hypervolume
from src.runtime.checkpoint import AtomicCheckpointIO
from src.runtime.errors import UsageError
from src.runtime.interrupts import Stop
from src.runtime.progress import progress
from src.runtime.run_folder import GENERATIONS, append_rows, cut_back
from src.runtime.stored_run import checkpoint_path, read_checkpoint
from src.searchers.searcher import Searcher
from src.searching.archive import GENERATION_COLUMNS, Archive, Row
from src.searching.sources import ScoreProvider
from src.searching.true_front import TrueFront
from src.supernet.path import ArchPath


@dataclass(frozen=True)
class SearchBudget:
    """A search ends with the first of them; duplicates cost nothing."""

    models: int
    """Distinct networks to be scored."""
    generations: int | None = None
    patience: int = 20
    """Generations in a row without a new network."""


@dataclass
class Search:
    """The parts of a search and where it stands."""

    folder: Path
    source: ScoreProvider
    searcher: Searcher
    archive: Archive
    budget: SearchBudget
    true_front: TrueFront | None
    loggers: list[Any] = field(default_factory=list)
    generation: int = 0
    stalled: int = 0
    """Generations since the last new network."""
    seconds: float = 0.0
    """Spent, earlier starts included."""

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent, or the searcher proposes nothing new any more."""
        generations = self.budget.generations
        return (
            len(self.archive) >= self.budget.models
            or (generations is not None and self.generation >= generations)
            or self.stalled >= self.budget.patience
        )

    @property
    def ended(self) -> str:
        """Why it is over, in words."""
        if len(self.archive) >= self.budget.models:
            return "the budget of networks is spent"
        if self.budget.generations is not None and self.generation >= self.budget.generations:
            return "the budget of generations is spent"
        return "nothing new is proposed any more"

    def run(self, stop: Stop) -> None:
        """Go on until it is over, or until `stop` asks for an end after the generation at hand."""
        with progress("search", "model", self.budget.models, len(self.archive)) as bar:
            while not self.is_over and not stop.asked:
                self._step(bar.update)

    def _step(self, tick: Callable[[], object]) -> None:
        started = time.monotonic()
        told = self._affordable(self.searcher.ask())
        new = [path for path in dict.fromkeys(told) if path not in self.archive]
        self.generation += 1
        self.stalled = 0 if new else self.stalled + 1
        self.archive.add(self.generation, self._scored(new, tick))
        if told:
            self.searcher.tell(told, self.archive.values(told))
        else:
            self.stalled = self.budget.patience  # it has nothing left to ask
        self.seconds += time.monotonic() - started
        self._log(len(new))
        self.save()

    def _affordable(self, asked: Sequence[ArchPath]) -> list[ArchPath]:
        """The first of the asked paths, as many as the budget has room for."""
        room, new, told = self.budget.models - len(self.archive), set[ArchPath](), list[ArchPath]()
        for path in asked:
            if path not in self.archive:
                new.add(path)
            if len(new) > room:
                break
            told.append(path)
        return told

    def _scored(self, paths: Sequence[ArchPath], tick: Callable[[], object]) -> list[tuple[ArchPath, Row]]:
        """(path, row) in the order asked for."""
        scores = {}
        for path, accuracy, loss in self.source.scores(paths):
            scores[path] = {"accuracy": accuracy, "loss": loss}
            tick()
        return [(path, self._costs(path) | scores[path]) for path in paths]

    def _costs(self, path: ArchPath) -> dict[str, Any]:
        space, arch = self.source.space, self.source.space.format(path)
        latency = self.searcher.objectives.costs.get("latency")
        costs = {
            "arch": arch,
            **space.costs(path, self.source.input_spec)._asdict(),
            "truth": self.source.truth.get(arch),
        }
        return costs | {"latency": latency(path) if latency else None}

    def _log(self, new: int) -> None:
        """A row of generations.csv, and the same to the loggers."""
        objectives, values = self.archive.objectives, self.archive.values()
        rows = front(values)
        learnt = objectives.all[objectives.learnt]
        row: dict[str, Any] = {"generation": self.generation, "models": len(self.archive), "new": new}
        row |= {"front": len(rows), "hypervolume": hypervolume(objectives.scaled(values[rows]))}
        if self.true_front is not None:
            paths = list(self.archive.rows)
            row["true_hypervolume"] = self.true_front.share([paths[i] for i in rows])
        row |= {"best": learnt.sign * float(values[:, objectives.learnt].min()), "wall_seconds": round(self.seconds, 3)}
        append_rows(self.folder / GENERATIONS, GENERATION_COLUMNS, [row])
        for logger in self.loggers:
            logger.log_metrics({f"search/{k}": v for k, v in row.items() if k != "generation"}, step=self.generation)

    def save(self) -> None:
        """All that a continuation needs beside archive.csv; the search before this generation stays beside it."""
        state = {
            "command": "search",
            "generation": self.generation,
            "models": len(self.archive),
            "stalled": self.stalled,
            "seconds": self.seconds,
            "searcher": self.searcher.state_dict(),
        }
        AtomicCheckpointIO().save_checkpoint(state, checkpoint_path(self.folder))

    def take_back(self, which: str) -> None:
        """Go on from a checkpoint, if there is one; what was written after it is dropped.

        Raises:
            UsageError: the checkpoint is of something else, or the archive is not the one that belongs to it.
        """
        state = read_checkpoint(self.folder, which) or {"generation": 0, "models": 0, "stalled": 0, "seconds": 0.0}
        if not {"generation", "models"} <= state.keys():
            raise UsageError(
                f"{checkpoint_path(self.folder, which)} is of another command or an older search: start anew"
            )
        self.generation, self.stalled, self.seconds = state["generation"], state["stalled"], state["seconds"]
        if self.generation:
            self.searcher.load_state_dict(state["searcher"])
        self.archive.take_back(self.generation, state["models"])
        cut_back(self.folder / GENERATIONS, self.generation)
