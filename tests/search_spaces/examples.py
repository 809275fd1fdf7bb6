"""Every space, with an input that is small enough for a real forward."""

from src.datasets.input_spec import InputSpec
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import MobileNetA, MobileNetB, Proxyless
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.search_spaces.space import SearchSpace
from tests.search_spaces.diamond import Diamond

DEPTHS = (1, 2, 1, 1, 1, 1)
"""Layers of the six stages in the short spaces, for what does not depend on depth."""


class ShortB(MobileNetB):
    """7 of the 19 layers."""

    depths = DEPTHS


class ShortProxyless(Proxyless):
    """7 of the 21 layers; those that keep their shape have the identity too, the others a choice less."""

    depths = DEPTHS


SPACES: dict[str, tuple[SearchSpace, InputSpec]] = {
    "mini": (Mini(), InputSpec(1, 10, 8)),
    "mini at odd sizes": (Mini(strides=(2, 1, 2, 1, 1)), InputSpec(3, 7, 11)),
    "mobilenet_a": (MobileNetA(), InputSpec(3, 10, 64)),
    "mobilenet_b": (MobileNetB(stem_stride=1, strides=(1, 2, 2, 1, 2, 1)), InputSpec(3, 10, 31)),
    "proxyless": (Proxyless(), InputSpec(3, 10, 48)),
    "nas_bench_201": (NasBench201(), InputSpec(3, 10, 16)),
    "nas_bench_201 of PA&DA": (
        NasBench201(affine=False, fixed_affine=False, running_stats=False, conv_bias=True),
        InputSpec(1, 100, 12),
    ),
    "nas_bench_201 conv_only": (NasBench201(subset="conv_only", cells=1), InputSpec(3, 10, 8)),
    "a graph of its own": (Diamond(), InputSpec(1, 10, 8)),
    "nas_bench_macro": (NasBenchMacro(), InputSpec(3, 10, 32)),
}
