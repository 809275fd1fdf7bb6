"""A stand-alone network as a LightningModule, under Lightning's automatic optimization.

B images of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from timm.loss import LabelSmoothingCrossEntropy
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim import Optimizer

from src.datasets.dataset import Batch
from src.runtime.errors import RunError
from src.runtime.interrupts import Stop
from src.runtime.seeds import mix
from src.standalone.retraining.drop_path import DropPaths
from src.standalone.retraining.erasing import Erasing
from src.training.meters import Meters, Stopwatch


class Retraining(pl.LightningModule):
    """Trains one network; what changes along the way (rates, erased pixels) is a function of seed and step."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        scheduler: Callable[[Optimizer], Scheduler],
        label_smoothing: float,
        ema: ModelEmaV3 | None,
        drop_paths: DropPaths,
        erasing: Sequence[Erasing],
        seed: int,
    ) -> None:
        """`scheduler` counts updates; `ema` averages `net`; `seed` is that of the erasing."""
        super().__init__()
        self.net, self.ema = net, ema
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.loss = LabelSmoothingCrossEntropy(label_smoothing)
        self.drop_paths, self.erasing, self.seed = drop_paths, erasing, seed
        self.steps = 0
        self.lr = 0.0
        """Of the last step."""
        self.stop = Stop()
        self.loader_state: Callable[[], dict[str, Any]] = dict
        """Where the training loader stands, set by whoever starts the run."""
        self.unchecked: list[tuple[int, Tensor]] = []
        """(step, loss) of steps that nobody has looked at yet."""
        self.means, self.stopwatch = Meters(), Stopwatch()

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this step."""
        return self.stop.asked

    @property
    def final(self) -> nn.Module:
        """The network that the run is for: the averaged one, if there is one."""
        return self.net if self.ema is None else self.ema.module

    def configure_optimizers(self) -> Any:
        """timm's optimizer and scheduler."""
        optimizer = self.make_optimizer(self.net)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_scheduler(optimizer), "interval": "step"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Nothing to do: loaders hand out batches on the training device."""
        return batch

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a mini-batch; its gradients are Lightning's to clip, and to hand to the optimizer."""
        self.drop_paths.set(self.steps)
        images = batch.images
        for i, erase in enumerate(self.erasing):
            images = erase(images, mix(self.seed, self.steps, i))
        logits = self.net(images)
        loss: Tensor = self.loss(logits, batch.labels)
        self.means.add(loss, (logits.detach().argmax(1) == batch.labels).sum(), len(batch.labels))
        self._keep(loss)
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Forward, backward and update; then the average moves. `steps` counts what is complete."""
        self.lr = optimizer.param_groups[0]["lr"]
        optimizer.step(closure=optimizer_closure)
        self.steps += 1
        if self.ema is not None:
            self.ema.update(self.net, step=self.steps)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Set the rate of the next step."""
        scheduler.step_update(self.steps)

    def _keep(self, loss: Tensor) -> None:
        """Look at it before the weights are touched, but on a GPU, where looking means waiting, only now and then."""
        self.unchecked.append((self.steps, loss.detach()))
        if loss.device.type == "cpu":
            self.refuse_non_finite()

    def refuse_non_finite(self) -> None:
        """Stop the run on the first loss that is not finite.

        Raises:
            RunError: there is one among those not yet looked at.
        """
        unchecked, self.unchecked = self.unchecked, []
        for step, loss in unchecked:
            if not loss.isfinite():
                raise RunError(f"loss is not finite at step {step}: lower recipe.lr, or set recipe.clip_norm")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that a bit-identical continuation needs; plain values and tensors, so it loads with weights_only."""
        checkpoint.pop("loops", None)  # Lightning's own counters would fight a changed budget
        # timm's schedulers are functions of the step; what else they would store is the budget's, which may change.
        checkpoint["lr_schedulers"] = [{} for _ in checkpoint["lr_schedulers"]]
        checkpoint["fairpath"] = {
            "steps": self.steps,
            "loader": self.loader_state(),
            "means": self.means.state_dict(),
            "seconds": self.stopwatch.seconds(),
            "threads": torch.get_num_threads(),
            "rng": torch.get_rng_state(),  # of dropout and drop path; all other draws have seeds of their own
            "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added; the random state waits for the first step."""
        state = checkpoint["fairpath"]
        self.steps = state["steps"]
        self.means.load_state_dict(state["means"])
        self.stopwatch = Stopwatch(state["seconds"])
        self._rng = (state["rng"], state["rng_cuda"])

    def on_train_start(self) -> None:
        """The rate of the first step to come, and torch's generators last: setting up a Trainer may draw from them."""
        self.stopwatch.start()
        self.lr_schedulers().step_update(self.steps)  # type: ignore[union-attr]
        if rng := getattr(self, "_rng", None):
            torch.set_rng_state(rng[0].cpu())
            if rng[1] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all([state.cpu() for state in rng[1]])
