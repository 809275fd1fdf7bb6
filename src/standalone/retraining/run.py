"""One retraining: trained up to its budget or a signal, then measured and stored."""

from __future__ import annotations

from dataclasses import dataclass

from src.standalone.retraining.module import Retraining
from src.supernet.path import ArchPath
from src.training.run import Run


@dataclass(kw_only=True)
class StandaloneRun(Run):
    """The training of one path's network."""

    module: Retraining
    path: ArchPath
    batch_size: int
    """Images of a mini-batch, as many as a small training part has at most."""
