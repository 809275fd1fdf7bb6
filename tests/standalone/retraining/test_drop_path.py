from __future__ import annotations

import pytest
import torch

from src.standalone.retraining.drop_path import DropPaths, add_dropout
from src.supernet.ops import InvertedResidual
from tests.search_spaces.examples import SPACES

PATH = (2, 2, 2, 2, 2)  # of mini; all layers but 2 keep their shape


def network(name: str = "mini", path: tuple[int, ...] = PATH) -> torch.nn.Module:
    space, input_spec = SPACES[name]
    torch.manual_seed(0)
    return space.build_path(path, *input_spec)


def rates(net: torch.nn.Module) -> list[float]:
    return [getattr(m.drop_path, "drop_prob", 0.0) for m in net.modules() if isinstance(m, InvertedResidual)]


def test_rates_grow_with_depth_and_only_residual_blocks_have_one() -> None:
    net = network()
    dropping = DropPaths(net, 0.5, "depth", epoch_steps=10, epochs=4)
    assert rates(net) == pytest.approx([0.0, 0.1, 0.0, 0.3, 0.4])  # 0.5 * i / 5; 8 to 12 channels is no residual
    assert len(dropping) == 4
    dropping.set(30)
    assert rates(net) == pytest.approx([0.0, 0.1, 0.0, 0.3, 0.4])


def test_rates_grow_with_the_epochs() -> None:
    net = network()
    dropping = DropPaths(net, 0.4, "epochs", epoch_steps=10, epochs=4)
    for step, rate in ((0, 0.0), (9, 0.0), (10, 0.1), (39, 0.3)):
        dropping.set(step)
        assert rates(net) == pytest.approx([rate, rate, 0.0, rate, rate])


def test_a_dropped_block_is_the_identity_for_that_image_alone() -> None:
    block = InvertedResidual(4, 4, 1, 3, 3).train()
    DropPaths(torch.nn.Sequential(block), 0.5, "epochs", 1, 2).set(1)
    block.drop_path.drop_prob = 0.5  # type: ignore[assignment]
    torch.manual_seed(1)
    x = torch.randn(64, 4, 5, 5)
    same = (block(x) == x).flatten(1).all(1)
    assert 16 < same.sum() < 48


def test_evaluation_and_state_know_nothing_of_it() -> None:
    plain, dropping = network(), network()
    DropPaths(dropping, 0.5, "depth", 10, 4)
    add_dropout(dropping, 0.5)
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(plain.eval()(x), dropping.eval()(x))
    assert not torch.equal(plain.train()(x), dropping.train()(x))


def test_cells_have_no_residual_blocks() -> None:
    net = network("nas_bench_201 conv_only", (0, 1, 0, 1, 0, 1))
    assert len(DropPaths(net, 0.5, "depth", 10, 4)) == 0


def test_dropout_hides_inputs_of_the_last_layer() -> None:
    net = network()
    add_dropout(net, 0.5)
    seen: list[torch.Tensor] = []
    list(net.modules())[-1].register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    net.train()(torch.randn(200, 1, 8, 8))
    assert 0.4 < (seen[0] == 0).double().mean() < 0.6
