"""The space `mini_cell`: NAS-Bench-201's cells, narrow and one a stage, for 8 px digits."""

from __future__ import annotations

from collections.abc import Sequence

from src.datasets.input_spec import InputSpec
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.stages import check_sequence


class MiniCell(NasBench201):
    """The 15,625 cells of NAS-Bench-201 in networks that a CPU trains in a second."""

    name = "mini_cell"
    reference = InputSpec(in_channels=1, num_classes=10, image_size=8)

    def __init__(
        self,
        subset: str = "all",
        cells: int = 1,
        channels: Sequence[int] = (4, 8, 16),
        affine: bool = True,
        linear_transformer: bool = False,
        share: int = 1,
    ) -> None:
        """`channels` are those of the three stages; the other keys mean what they mean for NasBench201."""
        super().__init__(subset, cells, affine, linear_transformer=linear_transformer, share=share)
        self.channels = check_sequence("channels", channels, 3)
