"""The search loop: ask, score what is new, tell, save; a kill loses at most one generation."""

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
from src.searching.archive import GENERATION_COLUMNS, Archive
from src.searching.score_source import ScoreSource
from src.searching.true_front import TrueFront
from src.supernet.path import ArchPath


@dataclass(frozen=True)
class SearchBudget:
    """A search ends with the first that is spent; duplicates cost nothing."""

    models: int
    """Distinct networks to be scored."""
    generations: int | None = None
    patience: int = 20
    """Generations in a row without a new network."""


@dataclass
class Search:
    """The parts of a search, and its state."""

    folder: Path
    source: ScoreSource
    searcher: Searcher
    archive: Archive
    budget: SearchBudget
    true_front: TrueFront | None
    loggers: list[Any] = field(default_factory=list)
    generation: int = 0
    stalled: int = 0
    """Generations since the last new network."""
    seconds: float = 0.0
    """Wall-clock seconds spent, earlier starts included."""

    @property
    def is_finished(self) -> bool:
        """Whether the budget is spent, or the searcher proposes nothing new any more."""
        generations = self.budget.generations
        return (
            len(self.archive) >= self.budget.models
            or (generations is not None and self.generation >= generations)
            or self.stalled >= self.budget.patience
        )

    @property
    def end_reason(self) -> str:
        """The reason why the search ends, for people."""
        if len(self.archive) >= self.budget.models:
            return "the budget of networks is spent"
        if self.budget.generations is not None and self.generation >= self.budget.generations:
            return "the budget of generations is spent"
        return "nothing new is proposed any more"

    def run(self, stop: Stop) -> None:
        """Search until the budget is spent, or until `stop` asks for an end after the current generation."""
        with progress("search", "model", self.budget.models, len(self.archive)) as bar:
            while not self.is_finished and not stop.asked:
                self.run_generation(bar.update)

    def run_generation(self, advance: Callable[[], object]) -> None:
        """Ask, score, tell and save once; `advance` moves the progress bar by a network."""
        started = time.monotonic()
        # Ask: the proposals, as many as the budget has room for
        proposed = self.within_budget(self.searcher.ask())
        new = [path for path in dict.fromkeys(proposed) if path not in self.archive]
        self.generation += 1
        self.stalled = 0 if new else self.stalled + 1
        # Score: networks that are new; the others cost nothing
        scores = {}
        for path, accuracy, loss in self.source.scores(new):
            scores[path] = {"accuracy": accuracy, "loss": loss}
            advance()
        self.archive.add(self.generation, [(path, self.costs(path) | scores[path]) for path in new])
        # Tell: every proposal, known ones too; a searcher without proposals has nothing left to ask
        if proposed:
            self.searcher.tell(proposed, self.archive.values(proposed))
        else:
            self.stalled = self.budget.patience
        # Save: tables first, the checkpoint last, so that rows without a checkpoint are cut back on resumption
        self.seconds += time.monotonic() - started
        self.log(len(new))
        self.save()

    def within_budget(self, proposed: Sequence[ArchPath]) -> list[ArchPath]:
        """The first of the proposed paths, up to the one that would be a network too many."""
        room, new, kept = self.budget.models - len(self.archive), set[ArchPath](), list[ArchPath]()
        for path in proposed:
            if path not in self.archive:
                new.add(path)
            if len(new) > room:
                break
            kept.append(path)
        return kept

    def costs(self, path: ArchPath) -> dict[str, Any]:
        """Columns of archive.csv that need no score: arch string, costs, and the truth where it is known."""
        space, arch = self.source.space, self.source.space.format(path)
        latency = self.searcher.objectives.costs.get("latency")
        costs = {
            "arch": arch,
            **space.costs(path, self.source.input_spec)._asdict(),
            "truth": self.source.truth.get(space.benchmark_name(path)),
        }
        return costs | {"latency": latency(path) if latency else None}

    def log(self, new: int) -> None:
        """Append a row to generations.csv, and log the same figures; `new` networks were scored."""
        # The front by the scores, and its hypervolume within the objectives' bounds
        objectives, values = self.archive.objectives, self.archive.values()
        rows = front(values)
        learnt = objectives.all[objectives.learnt]
        row: dict[str, Any] = {"generation": self.generation, "models": len(self.archive), "new": new}
        row |= {"front": len(rows), "hypervolume": hypervolume(objectives.scaled(values[rows]))}
        # The same networks by their truth: what the front is really worth
        if self.true_front is not None:
            paths = list(self.archive.rows)
            row["true_hypervolume"] = self.true_front.share([paths[i] for i in rows])
        row |= {"best": learnt.sign * float(values[:, objectives.learnt].min()), "wall_seconds": round(self.seconds, 3)}
        append_rows(self.folder / GENERATIONS, GENERATION_COLUMNS, [row])
        for logger in self.loggers:
            logger.log_metrics({f"search/{k}": v for k, v in row.items() if k != "generation"}, step=self.generation)

    def save(self) -> None:
        """Checkpoint what archive.csv does not hold; the checkpoint of the generation before is kept beside it."""
        state = {
            "command": "search",
            "generation": self.generation,
            "models": len(self.archive),
            "stalled": self.stalled,
            "seconds": self.seconds,
            "searcher": self.searcher.state_dict(),
        }
        AtomicCheckpointIO().save_checkpoint(state, checkpoint_path(self.folder))

    def resume(self, which: str) -> None:
        """Load checkpoint `which`, if there is one, and drop rows that were written after it.

        Raises:
            UsageError: the checkpoint is not of a search, or the archive does not belong to it.
        """
        state = read_checkpoint(self.folder, which) or {"generation": 0, "models": 0, "stalled": 0, "seconds": 0.0}
        if not {"generation", "models"} <= state.keys():
            raise UsageError(
                f"{checkpoint_path(self.folder, which)} is of another command or an older search: start anew"
            )
        self.generation, self.stalled, self.seconds = state["generation"], state["stalled"], state["seconds"]
        if self.generation:
            self.searcher.load_state_dict(state["searcher"])
        self.archive.resume(self.generation, state["models"])
        cut_back(self.folder / GENERATIONS, self.generation)
