"""SIGINT (Ctrl-C) and SIGTERM set a flag that loops poll between steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """The flag; `asked` is true once a signal has come."""

    asked: bool = False


@contextmanager
def finishing() -> Iterator[Stop]:
    """Within the block a first signal sets the flag, a second one raises KeyboardInterrupt at once."""
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in signals]
    try:
        yield stop
    finally:
        # the handlers of an enclosing block, or of Python, take over again
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
