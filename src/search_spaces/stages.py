"""Stages of a layer-by-layer space: the shape of each layer, and how strides shrink an image.

C channels, H W size, L layers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from src.runtime.errors import UsageError
from src.supernet.path import ArchPath

LEAST_SIZE = 2
"""Smallest last feature map, in px a side: below it spatial kernels see nothing but padding."""


class LayerShape(NamedTuple):
    """A layer takes (B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""

    inputs: int
    outputs: int
    stride: int

    @property
    def is_kept(self) -> bool:
        """Whether the output has the input's shape, so that doing nothing is possible."""
        return self.inputs == self.outputs and self.stride == 1


def layer_shapes(
    inputs: int, channels: Sequence[int], depths: Sequence[int], strides: Sequence[int]
) -> tuple[LayerShape, ...]:
    """The L = sum(depths) layers of stages; the first layer of each has its stride and its change of channels."""
    shapes = []
    for outputs, depth, stride in zip(channels, depths, strides, strict=True):
        shapes.append(LayerShape(inputs, outputs, stride))
        shapes += [LayerShape(outputs, outputs, 1)] * (depth - 1)
        inputs = outputs
    return tuple(shapes)


def identities_last(path: ArchPath, shapes: Sequence[LayerShape], identity: int) -> ArchPath:
    """The same stand-alone network: in each run of layers that keep the shape, identities moved to the end.

    To a path of the supernet their place matters, since the others then use other layers' weights.
    """
    order: list[int] = []
    for is_kept, run in itertools.groupby(zip(shapes, path, strict=True), key=lambda entry: entry[0].is_kept):
        choices = [choice for _, choice in run]
        order += sorted(choices, key=lambda choice: choice == identity) if is_kept else choices
    return tuple(order)


def final_size(image_size: int, strides: Sequence[int]) -> int:
    """Side of the last feature map in px: ceil(H / product of the strides)."""
    return -(-image_size // math.prod(strides))


def suited(image_size: int, strides: Sequence[int]) -> tuple[int, ...]:
    """The strides with the foremost ones set to 1, just enough for a last feature map of 4x4 if there can be one."""
    fitting = list(strides)
    for i in range(len(fitting)):
        if final_size(image_size, fitting) >= 4:
            break
        fitting[i] = 1
    return tuple(fitting)


def check_size(
    space: str, image_size: int, strides: Sequence[int], as_settings: Callable[[tuple[int, ...]], str]
) -> None:
    """Refuse images that the strides shrink too far; `as_settings` writes strides as they are set for the space.

    Raises:
        UsageError: the last feature map would be smaller than 2x2; it names strides that work.
    """
    if final_size(image_size, strides) >= LEAST_SIZE:
        return
    if image_size < LEAST_SIZE:
        raise UsageError(f"image_size={image_size} is too small for {space}: give {LEAST_SIZE} or more")
    raise UsageError(
        f"image_size={image_size} is too small for the strides of {space}, whose last feature map would be 1x1: "
        f"set {as_settings(suited(image_size, strides))}"
    )


def check_halved_twice(space: str, image_size: int) -> None:
    """Refuse images that cannot be halved twice down to 2x2 or more.

    Raises:
        UsageError: it names sizes that can.
    """
    if image_size < 4 * LEAST_SIZE or image_size % 4:
        raise UsageError(
            f"image_size={image_size} does not fit {space}, which halves images twice: give a multiple of 4, 8 or more"
        )


def check_sequence(key: str, value: Sequence[int], count: int, options: Sequence[int] | None = None) -> tuple[int, ...]:
    """A setting with one whole number for each stage, positive or out of `options`.

    Raises:
        UsageError: another length, or another number.
    """
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    # a bool is an int to isinstance, hence type()
    fits = all(type(v) is int and (v in options if options else v > 0) for v in values)
    if len(values) != count or not fits:
        kind = f"out of {' and '.join(map(str, options))}" if options else "above 0"
        shown = bracketed(values) if values else value
        raise UsageError(
            f"search_space.{key}={shown}: give {count} whole {'number' if count == 1 else 'numbers'} {kind}"
        )
    return values


def bracketed(values: Sequence[object]) -> str:
    """`[1,2,2]`, as it is written on the command line."""
    return f"[{','.join(map(str, values))}]"


def sub_ranges(texts: Sequence[str], whole: Sequence[range]) -> list[range]:
    """`[1-4, 9-16, ...]` as ranges, each within that of `whole` in its place.

    Raises:
        UsageError: another number of them, something that is no range, or one that leaves its bounds.
    """
    if len(texts) != len(whole):
        raise UsageError(f"search_space.ranges={bracketed(texts)}: give {len(whole)}, of d1, w1, d2, w2, d3, w3")
    # one number is a range of itself
    ranges = []
    for text, bounds in zip(texts, whole, strict=True):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", str(text).strip())
        low, high = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, 0)
        if not bounds[0] <= low <= high <= bounds[-1]:
            raise UsageError(f"search_space.ranges: '{text}' is no range within {bounds[0]}-{bounds[-1]}, such as 1-4")
        ranges.append(range(low, high + 1))
    return ranges
