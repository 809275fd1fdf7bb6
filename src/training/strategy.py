"""Lightning's strategy of a run on several devices: processes, devices and clusters are its own; gradients are ours.

torch's DistributedDataParallel reduces at every backward pass and dies at the second one of a strict-fairness update,
so nothing is wrapped in it: src/training/parallel.py reduces once an update.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from src.training.parallel import DataParallel, Parallelism, PathParallel

PATIENCE = timedelta(days=7)
"""How long a process waits for the others; shares of a scoring may take that different times."""


class OneReduction(DDPStrategy):
    """Lightning's DDP strategy without its wrapper."""

    def __init__(self) -> None:
        super().__init__(timeout=PATIENCE)

    def configure_ddp(self) -> None:
        """All processes begin with what the first one has."""
        assert self.model is not None
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            distributed.broadcast(tensor.detach(), 0)

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Not when a checkpoint was saved: the first process alone does that, at a time of its own."""
        if "Trainer.save_checkpoint" not in args:
            super().barrier(*args, **kwargs)


def make_parallelism(kind: str, trainer: pl.Trainer) -> Parallelism:
    """The division of work among the processes of the trainer, by the name that `strategy` has in the configuration."""
    if trainer.world_size == 1:
        return Parallelism()
    return {"ddp": DataParallel, "path_parallel": PathParallel}[kind](trainer.global_rank, trainer.world_size)
