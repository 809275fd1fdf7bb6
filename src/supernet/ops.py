"""The building blocks that the layer-by-layer spaces share.

C channels, H W size, k kernel, e expansion, s stride.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from src.supernet.batch_norm import BatchNorm


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU6
) -> nn.Sequential:
    """Bias-free convolution with 'same' padding, BN and, unless `act` is None, an activation."""
    # No bias: the BN that follows subtracts it again.
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BatchNorm(outputs), *([act(inplace=True)] if act else []))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 to C*e, depthwise k x k with the stride, linear 1x1 (Sandler et al. 2018, figure 3d).

    (B, C, H, W) -> (B, C', ceil(H / s), ceil(W / s)); e = 1 has no first 1x1; a residual iff s = 1 and C = C'.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, kernel: int, expansion: int, act: type[nn.Module] = nn.ReLU6
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        stages: list[nn.Module] = [] if expansion == 1 else [conv_bn(inputs, hidden, 1, act=act)]
        stages.append(conv_bn(hidden, hidden, kernel, stride, groups=hidden, act=act))
        stages.append(conv_bn(hidden, outputs, 1, act=None))
        self.body = nn.Sequential(*stages)
        self.drop_path: nn.Module = nn.Identity()  # retraining may replace it by stochastic depth

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / s, W / s)."""
        return x + self.drop_path(self.body(x)) if self.residual else self.body(x)


class PoolBlock(nn.Module):
    """3x3 average pooling with the stride, then a 1x1 convolution and BN where the channels change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # Padding does not count, so that the mean at a border is one of real pixels.
        self.pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        self.project = conv_bn(inputs, outputs, 1, act=None) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / s, W / s)."""
        return self.project(self.pool(x))


def classifier(inputs: int, hidden: int | None, classes: int, act: type[nn.Module] = nn.ReLU6) -> nn.Sequential:
    """The tail: 1x1 to `hidden` channels with BN (left out if None), global average pooling, a linear layer."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if hidden is not None:
        stages["conv"] = conv_bn(inputs, hidden, 1, act=act)
    stages["pool"] = nn.AdaptiveAvgPool2d(1)
    stages["flatten"] = nn.Flatten()
    stages["linear"] = nn.Linear(hidden or inputs, classes)
    return nn.Sequential(stages)
