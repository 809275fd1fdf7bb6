"""BN protocols: the right statistics while a path is scored, and none of them afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from src.runtime.run_folder import PROTOCOLS
from src.search_spaces.mini import Mini
from src.supernet.batch_norm import BatchNorm, set_ghost_batch
from src.supernet.bn_protocols import under_protocol

PATH = (1, 2, 0, 2, 1)


def images(count: int, batches: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 1, 8, 8, generator=generator) for _ in range(batches)]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Mini().build(1, 10, 8)
    for batch in images(20, 3, seed=9):  # statistics of some training
        net(batch * 2 + 1, PATH)
    return net


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_the_net_as_it_was(net: nn.Module, protocol: str, training: bool) -> None:
    net.train(training)
    before = state(net)
    modes = [module.training for module in net.modules()]
    momenta = [m.momentum for m in net.modules() if isinstance(m, BatchNorm)]
    with under_protocol(net, protocol, lambda x: net(x, PATH), images(16, 4)), torch.no_grad():
        net(images(8, 1)[0], PATH)
    assert all(torch.equal(before[name], value) for name, value in state(net).items())
    assert modes == [module.training for module in net.modules()]
    assert momenta == [m.momentum for m in net.modules() if isinstance(m, BatchNorm)]


def test_an_error_while_scoring_leaves_the_net_as_it_was(net: nn.Module) -> None:
    before = state(net)
    with pytest.raises(RuntimeError), under_protocol(net, "recalibrate", lambda x: net(x, PATH), images(16, 2)):
        raise RuntimeError
    assert all(torch.equal(before[name], value) for name, value in state(net).items())


def first_norm(net: nn.Module) -> BatchNorm:
    return next(module for module in net.modules() if isinstance(module, BatchNorm))


def test_recalibrate_is_the_exact_average_over_the_calibration_batches(net: nn.Module) -> None:
    batches = images(16, 5)
    inputs: list[Tensor] = []
    norm = first_norm(net)
    hook = norm.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    with under_protocol(net, "recalibrate", lambda x: net(x, PATH), batches):
        hook.remove()
        mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
        var = torch.stack([x.var((0, 2, 3), unbiased=True) for x in inputs]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, var)


def test_adapt_keeps_a_share_of_the_old_statistics(net: nn.Module) -> None:
    norm = first_norm(net)
    old = norm.running_mean.clone()  # type: ignore[union-attr]
    batch = images(16, 1)[0]
    with under_protocol(net, "adapt", lambda x: net(x, PATH), [batch] * 20), torch.no_grad():
        fresh = net.stem[0](batch).mean((0, 2, 3))  # type: ignore[index, operator]
        # Momentum 0.1 without reset leaves 0.9^20 = 12.2 % after 20 forwards.
        torch.testing.assert_close(norm.running_mean, 0.9**20 * old + (1 - 0.9**20) * fresh, rtol=1e-3, atol=1e-5)


def test_running_and_batch_read_no_calibration_images(net: nn.Module) -> None:
    x = images(8, 1)[0]
    for protocol in ("running", "batch"):
        with under_protocol(net, protocol, lambda _: pytest.fail("a forward was made"), images(4, 1)), torch.no_grad():
            scored = net(x, PATH)
        net.train(protocol == "batch")
        with torch.no_grad():
            torch.testing.assert_close(scored, net(x, PATH))
        net.train()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scoring_ignores_ghost_batches(net: nn.Module, protocol: str) -> None:
    def logits() -> Tensor:
        with under_protocol(net, protocol, lambda x: net(x, PATH), images(32, 2)), torch.no_grad():
            return net(images(32, 1, seed=5)[0], PATH)

    plain = logits()
    set_ghost_batch(net, 8)
    assert torch.equal(plain, logits())
    assert first_norm(net).ghost_batch == 8
