"""Cosine similarities of the feature maps of one layer's choices (FairNAS section 5).

m choices, B images, C channels, H W size. `features` (m, B, C, H, W) are the outputs of the choices of one layer for
the same images. A map is compared as its H x W values, and similarities, in [-1, 1], are means over the images. A map
of zeros has similarity 0 with every map, itself included: a channel that is dead for a share of the images falls
short of 1 by that share.
"""

from __future__ import annotations

import torch
from torch import Tensor


def choice_similarity(features: Tensor) -> tuple[Tensor, Tensor]:
    """Choice against choice on the same channel: (C, m, m), and the mean over channels (m, m); Figures 2, 9, 13."""
    maps = _unit_maps(features)
    by_channel = torch.einsum("ibcx,jbcx->cij", maps, maps) / maps.shape[1]
    return by_channel, by_channel.mean(dim=0)


def channel_similarity(features: Tensor) -> Tensor:
    """Channel against channel of the same choice: (m, C, C); Figure 12."""
    maps = _unit_maps(features)
    return torch.einsum("mbcx,mbdx->mcd", maps, maps) / maps.shape[1]


def channel_similarity_to_first(features: Tensor) -> Tensor:
    """Channels of choice 0 (rows) against channels of each other choice: (m - 1, C, C); Figure 14."""
    maps = _unit_maps(features)
    return torch.einsum("bcx,mbdx->mcd", maps[0], maps[1:]) / maps.shape[1]


def _unit_maps(features: Tensor) -> Tensor:
    """The maps at length 1, (m, B, C, H * W), in double precision; maps of zeros stay zero."""
    if features.dim() != 5 or 0 in features.shape:
        raise ValueError(f"features are (m, B, C, H, W), none of them 0; not {tuple(features.shape)}")
    maps = features.detach().double().flatten(start_dim=3)
    lengths = maps.norm(dim=-1, keepdim=True)
    return maps / torch.where(lengths > 0, lengths, 1.0)
