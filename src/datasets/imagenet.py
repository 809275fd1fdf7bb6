"""ImageNet-1k from class folders, with FairNAS's split: val held out of train, the official validation set as test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.datasets.augment import ShiftFlip
from src.datasets.dataset import Normalisation
from src.datasets.decode import MAX_PIXELS, Pixels, read_image
from src.datasets.examine import refuse_unreadable
from src.datasets.folder import Listing, class_folders, list_images
from src.datasets.intake import Intake
from src.datasets.layout import DividedFiles, check_same_classes, divide
from src.datasets.options import check_image_size, check_number
from src.datasets.preprocessing import Preprocessing
from src.datasets.split import hold_out_each
from src.datasets.worker import IMAGENET, WorkerDataset
from src.runtime.errors import UsageError, unknown

INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "random")


@dataclass(frozen=True)
class TransformReader:
    """Reads a file through timm's transforms to pixels (3, S, S)."""

    size: int
    transform: Callable[[Any], Any]
    preprocessing: Preprocessing | None = None
    channels: int = 3
    max_pixels: int = MAX_PIXELS

    def __call__(self, path: str) -> Pixels:
        """Pixels (3, S, S)."""
        return np.asarray(self.transform(read_image(path, max_pixels=self.max_pixels)), dtype=np.uint8)


@dataclass(frozen=True)
class Crops:
    """Crops of images before they are scaled to squares."""

    scale: tuple[float, ...]
    """Share of an image's area that a training crop covers, from and to (Inception)."""
    ratio: tuple[float, ...]
    """Width to height of a training crop, from and to."""
    pct: float
    """Evaluation takes the centre of an image whose shorter side is size / pct."""
    interpolation: str
    """bilinear, bicubic, lanczos; random: bilinear or bicubic, in evaluation bilinear."""

    @property
    def still(self) -> str:
        """The filter without a draw, for held-out images."""
        return "bilinear" if self.interpolation == "random" else self.interpolation

    def __post_init__(self) -> None:
        """Refuse, by UsageError, values that timm would fail at later."""
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("dataset.interpolation", self.interpolation, INTERPOLATIONS)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UsageError(
                f"dataset.crop_scale={list(self.scale)} is not a range in (0, 1]: use one such as [0.08,1]"
            )
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise UsageError(
                f"dataset.crop_ratio={list(self.ratio)} is not a range of positive numbers: use one such as [0.75,1.33]"
            )
        if not 0 < self.pct <= 1:
            raise UsageError(f"dataset.crop_pct={self.pct} is not in (0, 1]: use 0.875, say")


class ImageNet(WorkerDataset):
    """`train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG`; SubImageNet by `classes_subset` and the per-class counts."""

    def __init__(
        self,
        root: str | None,
        name: str = "imagenet",
        image_size: int | None = None,
        val_per_class: int = 50,
        train_per_class: int | None = None,
        classes_subset: int | str | Sequence[str] | None = None,
        split_seed: int = 0,
        crop_scale: Sequence[float] = (0.08, 1.0),
        crop_ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        color_jitter: float = 0.0,
        auto_augment: str | None = None,
        interpolation: str = "bilinear",
        crop_pct: float = 0.875,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        workers: int | None = None,
        memory_limit_mb: float = 2048,
        max_pixels: int = MAX_PIXELS,
        skip_corrupt: bool = False,
        split: Path | None = None,
    ) -> None:
        """Find the files and look at their headers; nothing is decoded yet.

        The arguments are the keys of conf/dataset/imagenet.yaml, which explains them, and the `split` of a stored run.

        Raises:
            UsageError: no such folder, classes that differ between its parts, or an option out of its range.
        """
        check_image_size(image_size)
        check_number("dataset.split_seed", split_seed)
        check_number("dataset.flip", flip, whole=False)
        check_number("dataset.color_jitter", color_jitter, whole=False)
        crops = Crops(tuple(crop_scale), tuple(crop_ratio), crop_pct, interpolation)
        files = imagenet_files(
            root, val_per_class, train_per_class, classes_subset, split_seed, Intake(max_pixels, skip_corrupt, split)
        )
        training: dict[str, Any] = {"hflip": flip, "color_jitter": color_jitter or None, "auto_augment": auto_augment}
        training["mean"] = tuple(mean or IMAGENET[0])  # the grey that AutoAugment fills with
        readers = imagenet_readers(image_size or 224, crops, training, max_pixels)
        # the transforms flip already, image by image
        unchanged, normalisation = ShiftFlip(0, False), Normalisation(mean, std)
        super().__init__(name, files, *readers, unchanged, normalisation, workers, memory_limit_mb)


def imagenet_readers(
    size: int, crops: Crops, training: dict[str, Any], max_pixels: int
) -> tuple[TransformReader, TransformReader]:
    """The readers of training and of held-out images; `training`: further options of timm's transform."""
    crop = {"scale": crops.scale, "ratio": crops.ratio, "interpolation": crops.interpolation}
    random = timm_transform(size, is_training=True, **crop, **training)
    still = timm_transform(size, interpolation=crops.still, crop_pct=crops.pct)
    description = Preprocessing(3, size, crops.pct, crops.still)
    return (
        TransformReader(size, random, max_pixels=max_pixels),
        TransformReader(size, still, description, max_pixels=max_pixels),
    )


def timm_transform(size: int, **options: Any) -> Callable[[Any], Any]:
    """timm's pipeline for ImageNet, from a PIL image to uint8 (3, S, S): the device scales and normalises."""
    from timm.data import create_transform  # late: 2 s

    from src.datasets.posterize import mend_posterize

    mend_posterize()
    try:
        transform: Callable[[Any], Any] = create_transform(size, use_prefetcher=True, **options)
    except (AssertionError, KeyError, ValueError) as error:  # which timm's parser of policies raises
        policy = options.get("auto_augment")
        raise UsageError(f"dataset.auto_augment={policy} is not a policy of timm: use rand-m9-mstd0.5, say") from error
    return transform


def imagenet_files(
    root: str | None,
    val_each: int,
    train_each: int | None,
    subset: int | str | Sequence[str] | None,
    seed: int,
    intake: Intake,
) -> DividedFiles:
    """Train and val from train/, test from val/; counts are of each class."""
    if root is None:
        raise UsageError("dataset.root=<folder> is missing: it must hold train/<wnid>/*.JPEG and val/<wnid>/*.JPEG")
    folder = Path(root)
    files = intake.files(
        folder,
        lambda: imagenet_parts(folder, choose_classes(folder / "train", subset, seed)),
        lambda listed: divide_imagenet(listed, val_each, train_each, seed),
    )
    if not (files.is_restored or intake.skip_corrupt):
        refuse_unreadable(files, intake.max_pixels, in_full=False)
    return files


def imagenet_parts(root: Path, classes: list[str] | None) -> dict[str, Listing]:
    """The images of train/, and those of val/ as the test part; of all classes or of some."""
    train, tested = list_images(root / "train", classes), list_images(root / "val", classes)
    check_same_classes(train, tested)
    return {"train": train, "test": tested}


def divide_imagenet(listed: dict[str, Listing], val_each: int, train_each: int | None, seed: int) -> DividedFiles:
    """Hold val out of train; counts are of each class."""
    train = listed["train"]
    # val out of train/: the labels of ImageNet's own test set are not public
    kept, held = hold_out_each(train.labels, val_each, seed, train.classes, "dataset.val_per_class")
    if train_each is not None:
        option = "dataset.train_per_class"
        kept = kept[hold_out_each(train.labels[kept], train_each, seed, train.classes, option, leave=0)[1]]
    return divide(listed, {"train": kept, "val": held})


def choose_classes(folder: Path, subset: int | str | Sequence[str] | None, seed: int) -> list[str] | None:
    """Names of the classes to use, None for all: a number draws so many from the folder's."""
    if subset is None:
        return None
    # a file of names, or names
    if isinstance(subset, str):
        try:
            return Path(subset).read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"cannot read dataset.classes_subset={subset}: use a number, a list of classes, or a text file of them"
            ) from error
    if not isinstance(subset, int):
        return [str(name) for name in subset]
    # a number: drawn from the folder's own names, the same for the same seed
    names = class_folders(folder)
    if not 2 <= subset <= len(names):
        raise UsageError(f"dataset.classes_subset={subset} is not possible: {folder} has {len(names)} classes")
    return sorted(np.random.default_rng(seed).choice(names, subset, replace=False).tolist())
