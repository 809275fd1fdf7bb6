"""A stand-alone network as a LightningModule, under Lightning's automatic optimization.

B images of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim import Optimizer

from src.datasets.dataset import Batch
from src.runtime.seeds import mix
from src.standalone.retraining.drop_path import DropPaths
from src.standalone.retraining.erasing import Erasing
from src.training.objective import Objective
from src.training.run_state import RunState


class Retraining(RunState):
    """Trains one network; all that changes along the way (rates, erased pixels) depends on seed and step alone."""

    command = "retrain"
    remedy = "lower recipe.lr, or set recipe.clip_norm"

    def __init__(
        self,
        net: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        scheduler: Callable[[Optimizer], Scheduler],
        objective: Objective,
        ema: ModelEmaV3 | None,
        drop_paths: DropPaths,
        erasing: Sequence[Erasing],
        seed: int,
    ) -> None:
        """`scheduler` counts updates; `ema` averages `net`; `seed` is that of the erasing."""
        super().__init__(net)
        self.ema = ema
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.objective = objective
        self.drop_paths, self.erasing, self.seed = drop_paths, erasing, seed

    @property
    def final(self) -> nn.Module:
        """The network that the run is for: the moving average, if there is one."""
        return self.net if self.ema is None else self.ema.module

    def configure_optimizers(self) -> Any:
        """timm's optimizer and scheduler."""
        optimizer = self.make_optimizer(self.net)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_scheduler(optimizer), "interval": "step"},
        }

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The mean loss () of a mini-batch; Lightning clips its gradients and hands them to the optimizer."""
        self.drop_paths.set(self.steps)
        images = batch.images
        for i, erase in enumerate(self.erasing):
            images = erase(images, mix(self.seed, self.steps, i))
        logits = self.net(images)
        loss = self.objective(logits, batch.labels).mean
        self.meters.add(loss, (logits.detach().argmax(1) == batch.labels).sum(), len(batch.labels))
        self.check_later(loss.detach()[None], lambda _: "")
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Forward, backward and update; then the moving average. `steps` counts what is complete."""
        self.lr = optimizer.param_groups[0]["lr"]
        optimizer.step(closure=optimizer_closure)
        self.steps += 1
        if self.ema is not None:
            self.ema.update(self.net, step=self.steps)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Set the learning rate of the next step."""
        scheduler.step_update(self.steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The common state; timm's schedulers are functions of the step, and the rest of them is the budget's."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["lr_schedulers"] = [{} for _ in checkpoint["lr_schedulers"]]

    def on_train_start(self) -> None:
        """Set the learning rate of the first step to come."""
        self.lr_schedulers().step_update(self.steps)  # type: ignore[union-attr]
        super().on_train_start()
