"""A resumable loader of training batches, however they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from src.datasets.stream import Stream

Item = TypeVar("Item")


class StreamLoader(Generic[Item]):
    """Hands out the batches that `read` yields for a stream's requests, and counts them as they are handed out."""

    def __init__(self, stream: Stream, read: Callable[[Stream], Iterator[Item]]) -> None:
        self.stream, self.read = stream, read
        self.step = stream.start

    def __len__(self) -> int:
        """Steps of the whole run, those before a resume included."""
        return self.stream.steps

    def __iter__(self) -> Iterator[Item]:
        self.step = self.stream.start
        for batch in self.read(self.stream):
            self.step += 1  # before the batch is used: a checkpoint is written once its step was taken
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Steps taken, and the state of the order."""
        return self.stream.state_dict(self.step)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the step at which the state was taken."""
        self.stream.load_state_dict(state)
        self.step = self.stream.start
