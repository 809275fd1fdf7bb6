"""Values of a data set's options, refused where they cannot be meant."""

from __future__ import annotations

import math

from src.runtime.errors import UsageError


def check_number(option: str, value: object, low: float = 0, whole: bool = True) -> None:
    """Refuse what is not a number of at least `low`; None passes."""
    kinds = int if whole else (int, float)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value < math.inf:
        raise UsageError(f"{option}={value}: use a {'whole ' * whole}number of at least {low:g}")


def check_switch(option: str, value: object) -> None:
    """Refuse what is neither true nor false: the words yes and no are text, and text counts as true."""
    if not isinstance(value, bool):
        raise UsageError(f"{option}={value}: use true or false")


def check_image_size(value: object) -> None:
    """Refuse a target size that is not a positive number of pixels; None keeps the images' own."""
    check_number("image_size", value, low=1)


def check_image_options(image_size: object, split_seed: object, shift: object, flip: object) -> None:
    """Check the options that all data sets of small images share."""
    check_image_size(image_size)
    check_number("dataset.split_seed", split_seed)
    check_number("dataset.shift", shift)
    check_switch("dataset.flip", flip)
