"""The columns of a retraining's metrics.csv, and the accuracies that a validation measures."""

from __future__ import annotations

from torch import nn

from src.datasets.dataset import Dataset
from src.standalone.bare_loop import accuracy
from src.standalone.retraining.module import Retraining

COLUMNS = (
    "step",
    "epoch",  # of the training part, fractional
    "train/loss",  # mean since the last row, label smoothing included
    "train/accuracy",  # top-1 of the augmented images since the last row, in [0, 1]
    "train/lr",  # of the last step
    "train/backward_passes",  # cumulative; one a step
    "val/accuracy",  # top-1 of the weights as they are, in [0, 1]
    "val/accuracy_ema",  # of their moving average
    "train/images_per_second",  # wall clock, as is the next
    "wall_seconds",
)


class StandaloneValidation:
    """Top-1 of the weights on the validation part, and of their moving average if there is one."""

    def __init__(self, module: Retraining, dataset: Dataset) -> None:
        self.module, self.dataset = module, dataset

    def __call__(self) -> dict[str, float]:
        """val/accuracy and val/accuracy_ema, in [0, 1]."""
        accuracies = {"val/accuracy": accuracy_of(self.module.net, self.dataset, self.module)}
        if self.module.ema is not None:
            accuracies["val/accuracy_ema"] = accuracy_of(self.module.ema.module, self.dataset, self.module)
        return accuracies


def accuracy_of(net: nn.Module, dataset: Dataset, module: Retraining, part: str = "val") -> float:
    """Top-1 of a network over a part under its running BN statistics, on the module's device; its mode is restored."""
    was_training = net.training
    net.eval()
    top1 = accuracy(net, dataset, part, device=module.device)
    net.train(was_training)
    return top1
