"""Progress bars with rate and remaining time, quiet enough for a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress(description: str, unit: str, total: int, done: int = 0) -> tqdm[Any]:
    """A bar on standard error: live on a terminal, one line every 30 s elsewhere."""
    live = sys.stderr.isatty()
    # in a log file every refresh is a line of its own
    interval = 0.1 if live else 30.0
    return tqdm(
        desc=description,
        unit=unit,
        total=total,
        initial=done,
        mininterval=interval,
        maxinterval=interval,
        delay=0.0 if live else interval,
        leave=False,
        dynamic_ncols=live,
    )
