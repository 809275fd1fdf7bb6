"""The base class of exported networks, and the description of their feature maps: copied into each model.py.

Needs torch alone. B batch, C channels, H W size, s stride of a level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureInfo(list[dict[str, Any]]):
    """The levels of a network, finest first, each with num_chs, reduction and module; has the methods of timm's.

    `out_indices` selects levels: a number of last ones, indices (from the end if below 0), or None: the last four,
    which are the strides 4 to 32 of a mobile network.
    """

    def __init__(self, levels: Sequence[dict[str, Any]], out_indices: int | Sequence[int] | None = None) -> None:
        super().__init__({**level, "index": i} for i, level in enumerate(levels))
        # Negative indices count from the end, as in timm.
        wanted = min(4, len(self)) if out_indices is None else out_indices
        indices = range(-wanted, 0) if isinstance(wanted, int) else wanted
        if not indices or not all(-len(self) <= i < len(self) for i in indices):
            raise ValueError(f"out_indices={out_indices}: this network has the levels 0 to {len(self) - 1}")
        self.out_indices = tuple(sorted({i % len(self) for i in indices}))

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """One fact of the selected levels, of the levels `idx`, or of the one level `idx`."""
        if isinstance(idx, int):
            return self[idx][key]
        return [self[i][key] for i in (self.out_indices if idx is None else idx)]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Channels of each map."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Stride of each map: how many times smaller than the images it is, a side."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """Name of the module whose output each map is."""
        return self.get("module", idx)

    def taps(self) -> list[int]:
        """The layer after which each map is taken: i for `layers.<i>`, -1 for the stem."""
        return [-1 if name == "stem" else int(name.split(".")[1]) for name in self.module_name()]

    def get_dicts(self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None) -> Any:
        """Several facts of each level at once; all if `keys` is None."""
        rows = [{key: level[key] for key in keys or level} for level in self]
        return rows[idx] if isinstance(idx, int) else [rows[i] for i in (self.out_indices if idx is None else idx)]


class Backbone(nn.Module):
    """Stem, layers in a row, final layers, global average pooling, a linear classifier; its parts are named as in timm.

    With `features_only` it ends at the last selected level and returns a list of feature maps, finest first. The map
    of a level is the output of the last layer of that size; the FairNAS paper's detectors take the output of that
    layer's depthwise convolution instead (supplement, 3.5).
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: nn.Sequential,
        final: nn.Module,
        feature_info: FeatureInfo,
        num_features: int,
        num_classes: int,
        features_only: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        """`num_features` channels come out of `final`; `num_classes` 0 leaves the classifier out."""
        super().__init__()
        self.feature_info = feature_info
        self.features_only, self.drop_rate = features_only, drop_rate
        self.taps = self.feature_info.taps()
        self.stem = stem
        # Layers beyond the last selected level would get no gradient.
        self.layers = layers[: self.taps[-1] + 1] if features_only else layers
        self.num_features = self.head_hidden_size = num_features
        if not features_only:
            self.final = final
            self.reset_classifier(num_classes)

    def forward(self, x: Tensor) -> Any:
        """Normalised images (B, C, H, W) to logits (B, classes), or to a list of feature maps (B, C', H / s, W / s)."""
        return self.feature_maps(x) if self.features_only else self.forward_head(self.forward_features(x))

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Images (B, C, H, W) to the levels of `feature_info.out_indices`, (B, C', H / s, W / s) each."""
        return self.tapped(x, self.taps, self.taps[-1] + 1)[1]

    def tapped(self, x: Tensor, taps: Sequence[int], depth: int) -> tuple[Tensor, list[Tensor]]:
        """The output of the first `depth` layers, and those at the `taps`."""
        x = self.stem(x)
        maps = [x] if -1 in taps else []
        for i, layer in enumerate(self.layers[:depth]):
            x = layer(x)
            if i in taps:
                maps.append(x)
        return x, maps

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """timm's: maps of levels, all if `indices` is None, and the features before pooling unless only maps are asked.

        `norm` has no effect, `output_fmt` is NCHW; `stop_early` matters with `intermediates_only` alone.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt={output_fmt}: these networks have maps of NCHW")
        if self.features_only and not intermediates_only:
            raise ValueError("with features_only there are no features before pooling: use intermediates_only=True")
        levels = FeatureInfo(self.feature_info, len(self.feature_info) if indices is None else indices)
        taps = levels.taps()
        # the layers beyond the last level matter for the features before pooling alone
        depth = taps[-1] + 1 if stop_early and intermediates_only else len(self.layers)
        x, maps = self.tapped(x, taps, depth)
        return maps if intermediates_only else (self.final(x), maps)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights of the whole network; those of parts that this one leaves out are passed over.

        Raises:
            ValueError: weights of another number of classes.
        """
        # parts that are left out here
        own = self.state_dict().keys()
        left_out: tuple[str, ...] = ("layers.", "final.", "classifier.")
        if not self.features_only:
            left_out = () if self.num_classes else ("classifier.",)
        kept = {key: value for key, value in state_dict.items() if key in own or not key.startswith(left_out)}
        # torch would only speak of shapes
        theirs = kept.get("classifier.bias")
        if "classifier.bias" in own and theirs is not None and len(theirs) != self.num_classes:
            raise ValueError(
                f"these weights have {len(theirs)} classes and the network {self.num_classes}: load them with "
                f"num_classes={len(theirs)}, then reset_classifier({self.num_classes})"
            )
        return super().load_state_dict(kept, strict, assign)

    def __prepare_scriptable__(self) -> nn.Module:
        """The parts in a row, for torch.jit.script, which cannot read `forward`: its result has two types."""
        if self.features_only:
            raise TypeError("torch.jit.script does not go with features_only: use torch.jit.trace or torch.export")
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.drop_rate))
        return nn.Sequential(self.stem, *self.layers, self.final, *pool, self.classifier).train(self.training)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to the features before pooling, (B, num_features, H / s, W / s)."""
        return self.final(self.layers(self.stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, num_features, H, W) to logits (B, classes); with `pre_logits` to pooled features (B, num_features)."""
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        x = F.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.classifier(x)

    def check_pool(self, global_pool: str | None) -> None:
        """Refuse, by ValueError, another pooling than the one there is."""
        if global_pool not in (None, "avg"):
            raise ValueError(f"global_pool={global_pool}: these networks pool by avg")

    def get_classifier(self) -> nn.Module:
        """The linear layer, or nn.Identity without classes."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one on the device of the weights; with 0 classes features come out."""
        self.check_pool(global_pool)
        self.num_classes = num_classes
        first = next(self.parameters())  # tells device and type
        fresh = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.classifier = fresh.to(first.device, first.dtype).train(self.training)


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 images (B, C, H, W) to network inputs: scaled to [0, 1], minus the mean, over the deviation, (C,) each."""
    shift, scale = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (mean, std))
    return (images.float() / 255 - shift) / scale
