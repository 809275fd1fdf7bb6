import pytest
import torch

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.mobilenet import MobileNet, MobileNetA, MobileNetB, Proxyless
from src.search_spaces.summary import describe

# Inter-choice weights, table 4: the supernet of FairNAS (b) at 100 classes.
TABLE_4 = [
    1_824,
    *(34_800, 83_040),
    *(90_048, 121_080, 121_080, 121_080),
    *(164_760, 414_960, 414_960, 414_960),
    *(449_712, 580_896, 580_896, 580_896),
    *(830_880, 2_157_120, 2_157_120, 2_157_120),
    2_822_208,
    540_260,
]


def test_supernet_b_layer_by_layer() -> None:
    found = describe(MobileNetB(), InputSpec(3, 100, 224), []).supernet
    assert found["params"] == 14_839_700
    assert [part["params"] for part in found["parts"]] == TABLE_4
    assert [part["part"] for part in found["parts"]] == ["stem", *(f"layer {i}" for i in range(19)), "tail"]


@pytest.mark.parametrize("name, millions, macs", [("a", 4.651, 388.1), ("b", 4.506, 345.3), ("c", 4.398, 321.0)])
def test_fairnas_models(name: str, millions: float, macs: float) -> None:
    space = MobileNetB()
    found = space.costs(space.parse(f"fairnas_{name}"))
    assert round(found.params / 1e6, 3) == millions
    assert round(found.macs / 1e6, 1) == macs


def test_k3_e6_everywhere_is_mobilenet_v2() -> None:
    # torchvision's mobilenet_v2 has 3,504,872 parameters; 300.8 M multiply-adds.
    assert MobileNetA().costs((3,) * 16) == (3_504_872, 300_774_272)


def test_published_models_of_a() -> None:
    space = MobileNetA()
    assert list(space.named) == [f"fairnas_model_{i}" for i in range(2, 13)]
    assert all(space.check(path) for path in space.named.values())
    assert space.parse("fairnas_model_2") == (0,) * 7 + (1,) + (0,) * 5 + (1, 0, 0)
    assert space.parse("fairnas_model_12") == (1, 5, 3, 2, 1, 4, 3, 4, 1, 5, 1, 1, 3, 5, 5, 3)


@pytest.mark.parametrize("space, count", [(MobileNetA(), 6**16), (MobileNetB(), 6**19), (Proxyless(), 6**6 * 7**15)])
def test_sizes(space: MobileNet, count: int) -> None:
    assert space.count == count


def test_proxyless_has_an_identity_where_the_shape_is_kept() -> None:
    space = Proxyless()
    assert space.sizes == (6, 7, 7, 7) * 5 + (6,)
    identities = tuple(6 if size == 7 else 0 for size in space.sizes)
    assert space.counts(identities) == {"mb_blocks": 6}
    assert space.counts((0,) * 21) == {"mb_blocks": 21}
    assert isinstance(space.op(1, 6), torch.nn.Identity)
    with pytest.raises(UsageError, match="offers 0 to 5"):
        space.check((6, *identities[1:]))


def test_place_of_identities_in_a_stage_does_not_matter() -> None:
    space = Proxyless()
    one, other = (0, 6, 1, 6, *(2,) * 16, 3), (0, 1, 6, 6, *(2,) * 16, 3)
    assert space.canonical(one) == space.canonical(other) == other
    assert space.costs(one) == space.costs(other)
    assert space.canonical((0, 6, 6, 6, 1, *(2,) * 16)) == (0, 6, 6, 6, 1, *(2,) * 16)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"options are fairnas_a, fairnas_b, fairnas_c.*did you mean fairnas_a"):
        MobileNetB().parse("fairnas_aa")


@pytest.mark.parametrize("size", [2, 3, 8, 16, 31, 32])
def test_small_images_are_refused_with_settings_that_work(size: int) -> None:
    with pytest.raises(UsageError, match=r"search_space\.stem_stride=") as refused:
        MobileNetA().build(3, 10, size)
    settings = dict(word.split("=") for word in str(refused.value).split() if word.startswith("search_space."))
    strides = [int(s) for s in settings["search_space.strides"].strip("[]").split(",")]
    space = MobileNetA(stem_stride=int(settings["search_space.stem_stride"]), strides=strides)
    space.check_input(InputSpec(3, 10, size))


def test_the_line_for_32_px() -> None:
    with pytest.raises(UsageError, match=r"set search_space.stem_stride=1 search_space.strides=\[1,2,2,1,2,1\]$"):
        MobileNetB().costs((0,) * 19, InputSpec(3, 10, 32))


def test_one_pixel_fits_nothing() -> None:
    with pytest.raises(UsageError, match="image_size=1 is too small for mobilenet_b: give 2 or more"):
        MobileNetB().check_input(InputSpec(3, 10, 1))


@pytest.mark.parametrize("settings", [{"stem_stride": 3}, {"strides": (2, 2)}, {"strides": (2, 2, 2, 1, 2, 4)}])
def test_wrong_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"search_space\.(stem_stride|strides)="):
        MobileNetB(**settings)  # type: ignore[arg-type]
