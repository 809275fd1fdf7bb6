"""Seeds of independent random streams, derived from the seed of a run."""

from __future__ import annotations

import numpy as np


def mix(*parts: int) -> int:
    """One 63-bit seed out of several numbers, by NumPy's SeedSequence: neighbours give unrelated streams."""
    return int(np.random.SeedSequence([part % 2**64 for part in parts]).generate_state(1, np.uint64)[0] >> 1)
