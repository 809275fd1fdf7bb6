"""The state of a training run between two steps: counters, random generators, and what a checkpoint holds of it.

R losses of a step: one for each route of a supernet's update, one for a stand-alone network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from src.datasets.dataset import Batch
from src.runtime.errors import DivergedError
from src.runtime.interrupts import Stop
from src.training.meters import Meters, Stopwatch
from src.training.settled_order import SettledOrder

STATE = "fairpath"
"""Key of a checkpoint under which all of this is stored, beside Lightning's own keys."""


class RunState(pl.LightningModule):
    """Base of everything that is trained step by step: resumes bit for bit, stops on a loss that is not finite."""

    net: nn.Module
    command: ClassVar[str]
    """The command that writes the checkpoints: train, retrain."""
    remedy: ClassVar[str]
    """What the user can do about a loss that is not finite."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.steps = 0
        """Complete steps, those before a resume included."""
        self.lr = 0.0
        """Learning rate of the last update."""
        self.stop = Stop()
        self.order: SettledOrder | None = None
        """Ends the run once the order of the validation's paths stays, if that is asked for."""
        self.meters, self.stopwatch = Meters(), Stopwatch()
        self.loader_state: Callable[[], dict[str, Any]] = dict
        """The state of the training loader, set when the run is built."""
        self._unchecked: list[tuple[int, Tensor, Callable[[int], str]]] = []
        """(step, losses (R,), words for loss i) of updates whose losses were not checked yet."""
        self._generators: tuple[Tensor, list[Tensor]] | None = None
        """States of torch's CPU and CUDA generators to be restored when training starts."""

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this step."""
        return self.stop.asked

    @property
    def is_settled(self) -> bool:
        """Whether the run ends before its budget, as a finished one: the order of its networks stays."""
        return self.order is not None and self.order.is_settled

    def images_of(self, batch: Batch) -> int:
        """Images of a mini-batch over all processes."""
        return len(batch.labels)

    def extra_metrics(self) -> dict[str, Any]:
        """Columns of metrics.csv that only this kind of training has."""
        return {}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Loaders hand out batches on the training device already."""
        return batch

    def check_later(self, losses: Tensor, describe: Callable[[int], str]) -> None:
        """Check losses (R,) before the weights are updated; deferred on a GPU, where reading a value synchronises."""
        self._unchecked.append((self.steps, losses, describe))
        if losses.device.type == "cpu":
            self.refuse_non_finite()

    def refuse_non_finite(self) -> None:
        """Check all losses that were not checked yet.

        Raises:
            DivergedError: one of them is not finite; it names the step, and the path where there is one.
        """
        unchecked, self._unchecked = self._unchecked, []
        for step, losses, describe in unchecked:
            finite = losses.isfinite()
            if not finite.all():
                where = describe(int(finite.logical_not().nonzero()[0]))
                raise DivergedError(f"loss is not finite at step {step}{where}: {self.remedy}")

    def own_state(self) -> dict[str, Any]:
        """A subclass's additions to a checkpoint: plain values and tensors."""
        return {}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restore what `own_state` added."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that a bit-identical resume needs; plain values and tensors, so it loads with weights_only."""
        # Progress is counted in our steps: Lightning's own loop counters would contradict a changed budget.
        checkpoint.pop("loops", None)
        checkpoint[STATE] = {
            "command": self.command,
            "steps": self.steps,
            "loader": self.loader_state(),
            "means": self.meters.state_dict(),
            "seconds": self.stopwatch.seconds(),
            # Another number of threads sums in another order.
            "threads": torch.get_num_threads(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            **self.own_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added, the random generators last: see `on_train_start`."""
        state = checkpoint[STATE]
        self.steps = state["steps"]
        self.meters.load_state_dict(state["means"])
        self.stopwatch = Stopwatch(state["seconds"])
        self._generators = (state["rng"], state["rng_cuda"])
        self.load_own_state(state)

    def on_train_start(self) -> None:
        """Restore torch's global generators at the last moment, since setting up a Trainer may draw from them."""
        self.stopwatch.start()
        # Lightning's handler for SIGTERM broadcasts in the middle of whatever its process is in: with another
        # collective in progress the processes would wait for each other for ever
        self.stop.take_signals()
        if self._generators is None:
            return
        cpu, cuda = self._generators
        torch.set_rng_state(cpu.cpu())
        if cuda and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([state.cpu() for state in cuda])
