"""scikit-learn's 1,797 real handwritten digits (UCI, 8x8, 17 grey levels), embedded in that package."""

from __future__ import annotations

import torch

from src.datasets.augment import ShiftFlip
from src.datasets.memory import ImagePart, MemoryDataset
from src.datasets.options import check_image_options
from src.datasets.preprocessing import Preprocessing
from src.datasets.split import hold_out, only


class Digits(MemoryDataset):
    """1,797 grey images of 8x8 px in ten classes; by default 800 train, 397 val, 600 test."""

    def __init__(
        self,
        val: float = 397,
        test: float = 600,
        split_seed: int = 0,
        shift: int = 1,
        flip: bool = False,
        image_size: int | None = None,
        train_images: float | None = None,
    ) -> None:
        from sklearn.datasets import load_digits  # late: half a second

        check_image_options(image_size, split_seed, shift, flip)
        data = load_digits()
        # 17 levels, 0 to 16, spread over a byte
        images = torch.from_numpy(data.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
        if image_size not in (None, 8):
            images = torch.nn.functional.interpolate(images.float(), size=image_size, mode="bilinear", antialias=True)
            images = images.round().to(torch.uint8)
        labels = data.target.astype("int64")
        classes = [str(digit) for digit in range(10)]
        # test first, so that it does not depend on `val`
        rest, test_part = hold_out(labels, test, split_seed, classes, "dataset.test")
        kept, held = hold_out(labels[rest], val, split_seed, classes, "dataset.val")
        kept = kept[only(labels[rest][kept], train_images, split_seed, classes)]
        indices = {"train": rest[kept], "val": rest[held], "test": test_part}
        parts = {}
        for part, where in indices.items():
            numbers = torch.from_numpy(where)
            parts[part] = ImagePart(images[numbers], torch.from_numpy(labels)[numbers], numbers)
        description = Preprocessing(1, image_size or 8)
        super().__init__("digits", parts, classes, ShiftFlip(shift, flip), preprocessing=description)
