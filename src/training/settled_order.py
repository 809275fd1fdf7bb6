"""Ends a training once the order of the networks stays the same: needs no truth.

P paths of a validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.additive import with_score
from src.analysis.ranking import tau_b
from src.analysis.subsets import predictions
from src.supernet.evaluator import Score
from src.supernet.path import ArchPath, format_path


class SettledOrder:
    """Kendall's tau between the orders of one validation and the next, and how often in a row it was high enough."""

    def __init__(self, by: str, agreement: float, looks: int) -> None:
        """Settled after `looks` validations in a row whose tau with the one before is at least `agreement`.

        `by`: one of run_folder.RANK_BY, the score that orders the paths; additive_loss fitted to those of a validation.
        """
        self.by, self.agreement, self.looks = by, agreement, looks
        self.last: list[float] = []
        """(P,) of the validation before; higher is better."""
        self.row = 0

    @property
    def is_settled(self) -> bool:
        """Whether the run can end."""
        return self.row >= self.looks

    def add(self, scores: Sequence[tuple[ArchPath, Score]]) -> None:
        """Compare the scores of a validation, of the same paths in the same order as ever, with those before."""
        # higher is better by every score
        table = pd.DataFrame([{"path": format_path(path), **score._asdict()} for path, score in scores])
        now = predictions(with_score(table, self.by), self.by)
        # the first validation has none before it
        if self.last:
            agrees = tau_b(now, np.array(self.last, dtype=np.float64)) >= self.agreement
            self.row = self.row + 1 if agrees else 0
        self.last = now.tolist()

    def state_dict(self) -> dict[str, Any]:
        """The order of the last validation, and the row of agreements that ends with it."""
        return {"last": list(self.last), "row": self.row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.last, self.row = list(state["last"]), state["row"]
