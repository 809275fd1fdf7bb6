"""SIGINT (Ctrl-C) and SIGTERM: a flag that loops poll between steps, KeyboardInterrupt everywhere else."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INTERRUPTED = 130
"""Exit code of a process that a signal ended."""
MESSAGE = "interrupted"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
IMPORT = "<frozen importlib._bootstrap>"
"""File name of the frames of an import in progress."""


@dataclass
class Stop:
    """The flag; `asked` is true once a signal has come."""

    asked: bool = False
    is_set_up: bool = False
    """Whether signals set the flag now."""

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler: a first signal sets the flag, a second one raises KeyboardInterrupt at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def take_signals(self) -> None:
        """Be the handler again, after a library has put its own before this one."""
        if self.is_set_up:
            for number in SIGNALS:
                signal.signal(number, self.note)


@contextmanager
def interrupting() -> Iterator[None]:
    """Within the block either signal raises KeyboardInterrupt, or ends the process with 130 while a module is imported.

    In the middle of an import the exception may meet C++ code that aborts; nothing has to be cleaned up there.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename == IMPORT:
                print(MESSAGE, file=sys.stderr, flush=True)
                os._exit(INTERRUPTED)
            frame = frame.f_back
        raise KeyboardInterrupt

    # Python takes signals in the main thread alone
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled_by(interrupt):
        yield


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Both signals go to the handler; those of an enclosing block, or of Python, take over again."""
    before = [signal.signal(number, handler) for number in SIGNALS]
    try:
        yield
    finally:
        for number, earlier in zip(SIGNALS, before, strict=True):
            signal.signal(number, earlier)


@contextmanager
def finishing() -> Iterator[Stop]:
    """Within the block a first signal sets the flag, a second one raises KeyboardInterrupt at once."""
    stop = Stop()
    with handled_by(stop.note):
        stop.is_set_up = True
        try:
            yield stop
        finally:
            stop.is_set_up = False
