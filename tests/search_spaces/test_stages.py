import pytest

from src.runtime.errors import UsageError
from src.search_spaces.stages import LayerShape, check_sequence, final_size, layer_shapes, suited

MOBILE = (2, 2, 2, 2, 1, 2, 1)


def test_layers_of_stages() -> None:
    shapes = layer_shapes(16, (24, 32), (2, 1), (2, 1))
    assert shapes == (LayerShape(16, 24, 2), LayerShape(24, 24, 1), LayerShape(24, 32, 1))
    assert [shape.is_kept for shape in shapes] == [False, True, False]


@pytest.mark.parametrize("size, last", [(224, 7), (64, 2), (33, 2), (32, 1), (8, 1)])
def test_final_size_is_rounded_up(size: int, last: int) -> None:
    step_by_step = size
    for stride in MOBILE:
        step_by_step = -(-step_by_step // stride)
    assert final_size(size, MOBILE) == last == step_by_step


@pytest.mark.parametrize(
    "size, strides",
    [
        (224, MOBILE),
        (32, (1, 1, 2, 2, 1, 2, 1)),
        (8, (1, 1, 1, 1, 1, 2, 1)),
        (3, (1, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_suited_strides(size: int, strides: tuple[int, ...]) -> None:
    assert suited(size, MOBILE) == strides


@pytest.mark.parametrize("size", range(2, 80))
def test_suited_strides_leave_a_map(size: int) -> None:
    assert final_size(size, suited(size, MOBILE)) >= min(size, 4)


@pytest.mark.parametrize("given", [(1, 2), (1, 2, 3), (1, 2, 2, 1), (True, 1, 1), (1.0, 2, 2), "122", 2, None])
def test_wrong_strides_are_refused(given: object) -> None:
    with pytest.raises(UsageError, match=r"search_space.strides=.*: give 3 whole numbers out of 1 and 2"):
        check_sequence("strides", given, 3, (1, 2))  # type: ignore[arg-type]


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(UsageError, match=r"search_space.channels=\[8,0\]: give 2 whole numbers above 0"):
        check_sequence("channels", [8, 0], 2)
    assert check_sequence("channels", [8, 16], 2) == (8, 16)
