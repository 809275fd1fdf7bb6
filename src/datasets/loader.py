"""The training batches of a run, resumable after any of them, however they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from src.datasets.dataset import Batch
from src.datasets.stream import Stream


class StreamLoader:
    """Hands out what `read` makes of a stream's draws, and counts what was handed out, not what was read ahead."""

    def __init__(self, stream: Stream, read: Callable[[Stream], Iterator[Batch]]) -> None:
        self.stream, self.read = stream, read
        self.step = stream.start

    def __len__(self) -> int:
        """Steps of the whole run, those before a resume included."""
        return self.stream.steps

    def __iter__(self) -> Iterator[Batch]:
        self.step = self.stream.start
        for batch in self.read(self.stream):
            self.step += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How far the run came, and the state of its order."""
        return self.stream.state_dict(self.step)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the step at which the state was taken."""
        self.stream.load_state_dict(state)
        self.step = self.stream.start
