"""AutoAugment, RandAugment and colour jitter by timm, on any data set, each training image by draws of its own.

B images of a mini-batch, S px a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from src.datasets.augment import Augment
from src.datasets.dataset import Dataset
from src.datasets.decode import Pixels, Reader
from src.datasets.memory import MemoryDataset
from src.datasets.preprocessing import as_pixels
from src.datasets.worker import WorkerDataset, seed_generators
from src.runtime.errors import UsageError
from src.runtime.seeds import mix

LEAST_SIZE = 16
"""Images below this have so few pixels that shearing and turning them leaves nothing to see."""


class ImagePolicy:
    """timm's policy and then colour jitter on one RGB image; draws from the global generators."""

    def __init__(self, auto_augment: str | None, color_jitter: float, size: int, mean: Sequence[float]) -> None:
        """`mean` (3,) of images in [0, 1] is the colour that shifted and turned images are filled with.

        Raises:
            UsageError: a policy that timm does not know.
        """
        from timm.data.transforms_factory import transforms_imagenet_train  # late: 2 s

        from src.datasets.posterize import mend_posterize

        mend_posterize()
        options: Any = {"auto_augment": auto_augment, "color_jitter": color_jitter or None, "mean": tuple(mean)}
        # separate: crops and flips stay the data set's own; force: jitter beside a policy too, if both are asked for
        try:
            _, self.transform, _ = transforms_imagenet_train(size, **options, force_color_jitter=True, separate=True)
        except (AssertionError, KeyError, ValueError) as error:  # which timm's parser of policies raises
            raise UsageError(
                f"recipe.auto_augment={auto_augment} is not a policy of timm's: use original, v0, rand-m9-mstd0.5"
            ) from error

    def __call__(self, pixels: Pixels) -> Pixels:
        """(3, S, S) uint8 to the same."""
        image: Any = self.transform(Image.fromarray(pixels.transpose(1, 2, 0)))
        return as_pixels(image)


class PolicyReader:
    """A file to pixels under a policy, inside a worker that has seeded the generators for this image."""

    preprocessing = None

    def __init__(self, reader: Reader, policy: ImagePolicy) -> None:
        self.reader, self.policy = reader, policy
        self.channels, self.size = reader.channels, reader.size

    def __call__(self, path: str) -> Pixels:
        """Pixels (3, S, S)."""
        return self.policy(self.reader(path))


class PolicyAugment:
    """A policy on images in memory, then the data set's own augmentation of the batch: the order that workers have."""

    def __init__(self, policy: ImagePolicy, then: Augment) -> None:
        self.policy, self.then = policy, then

    def __call__(self, images: Tensor, seed: int, first: int = 0, total: int | None = None) -> Tensor:
        """(B, 3, S, S) uint8 to the same; the policy runs on the CPU, image by image."""
        with isolate_rng(include_cuda=False):
            changed = []
            for slot, image in enumerate(images.cpu().numpy(), first):
                # the seed that a worker would give the image, so that batches do not depend on where images lie
                seed_generators(mix(seed, slot))
                changed.append(self.policy(image))
        return self.then(torch.from_numpy(np.stack(changed)).to(images.device), seed, first, total)


def add_policy(dataset: Dataset, auto_augment: str | None, color_jitter: float) -> None:
    """Apply a policy to the training images of a data set, before its own shifts and flips of whole batches.

    Raises:
        UsageError: images without colours, or too small ones.
    """
    if auto_augment is None and not color_jitter:
        return
    asked = f"recipe.auto_augment={auto_augment}" if auto_augment else f"recipe.color_jitter={color_jitter:g}"
    neutral = "recipe.auto_augment=null recipe.color_jitter=0"
    if dataset.in_channels != 3:
        raise UsageError(f"{asked} is for colour images, and those of {dataset.name} are grey: set {neutral}")
    if dataset.image_size < LEAST_SIZE:
        raise UsageError(
            f"{asked} needs images of {LEAST_SIZE} px or more, {dataset.name} has {dataset.image_size}: set {neutral}"
        )
    policy = ImagePolicy(auto_augment, color_jitter, dataset.image_size, dataset.mean)
    # where images are read by workers the policy runs there, beside the decoding; else on the batch
    if isinstance(dataset, WorkerDataset):
        dataset.train_reader = PolicyReader(dataset.train_reader, policy)
    else:
        assert isinstance(dataset, MemoryDataset)
        dataset.augment = PolicyAugment(policy, dataset.augment)
