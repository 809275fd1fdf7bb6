import numpy as np
import pytest
import torch

from src.searchers.controller import Controller, Policy, PpoSettings
from src.searchers.mnasnet_rl import MnasNetRl
from tests.searchers import toy

SIZES = (6, 4, 3, 6, 6)
FAST = PpoSettings(lr=1e-2, hidden=32)
TARGET = (5, 0, 2, 4, 1)


def test_learns_a_known_optimum_in_seconds() -> None:
    controller, rng = Controller(SIZES, FAST, seed=0), np.random.default_rng(0)
    rewards = np.zeros(64)
    for _ in range(25):
        paths = controller.sample(64, rng)
        rewards = (np.array(paths) == TARGET).mean(1)
        controller.learn(paths, np.ones((64, len(SIZES)), dtype=bool), rewards)
    assert rewards.mean() > 0.95
    assert max(set(paths), key=paths.count) == TARGET


def test_learns_that_a_choice_depends_on_the_one_before() -> None:
    """Reward only for pairs of equal choices: the marginal distributions alone cannot say that."""
    controller, rng = Controller((4, 4), FAST, seed=0), np.random.default_rng(0)
    for _ in range(25):
        paths = controller.sample(64, rng)
        rewards = np.array([float(a == b) for a, b in paths])
        controller.learn(paths, np.ones((64, 2), dtype=bool), rewards)
    assert np.mean([a == b for a, b in controller.sample(256, rng)]) > 0.9


@pytest.mark.parametrize("own, low, high", [(True, 0.8, 1.0), (False, 0.0, 0.5)])
def test_layers_not_drawn_by_it_teach_it_nothing(own: bool, low: float, high: float) -> None:
    """The reward hangs on the first layer alone, which others draw or it does."""
    controller, rng = Controller((4, 4), FAST, seed=0), np.random.default_rng(0)
    drawn = np.tile([own, True], (64, 1))
    for _ in range(15):
        paths = [path if own else (int(rng.integers(4)), path[1]) for path in controller.sample(64, rng)]
        controller.learn(paths, drawn, np.array([float(a == 2) for a, _ in paths]))
    assert low <= controller.probabilities((0, 0), 0)[2] <= high


def test_probabilities_know_the_earlier_choices_and_no_later_one() -> None:
    policy = Policy(SIZES, 16)
    paths = torch.tensor([[0] * 5, [0, 0, 0, 1, 0]])
    with torch.no_grad():
        policy.logits.weight.mul_(100)
        log_probabilities, values = policy(paths)
    torch.testing.assert_close(log_probabilities[0, :4], log_probabilities[1, :4], rtol=0, atol=0)
    assert not torch.allclose(log_probabilities[0, 4], log_probabilities[1, 4])
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(2, 5))
    assert values.shape == (2, 5)


def test_choices_that_a_layer_lacks_are_never_drawn() -> None:
    controller = Controller(SIZES, PpoSettings(), seed=1)
    paths = np.array(controller.sample(200, np.random.default_rng(0)))
    assert (paths < SIZES).all()
    assert (paths.max(0) == np.array(SIZES) - 1).all()


def test_advantages_are_those_of_a_reward_at_the_end() -> None:
    """lambda = 1: return minus expectation; lambda = 0: one step ahead."""
    values, reward = torch.tensor([[0.5, 0.2, 0.4]]), torch.tensor([1.0])
    for gae_lambda, expected in ((1.0, [0.5, 0.8, 0.6]), (0.0, [-0.3, 0.2, 0.6])):
        controller = Controller((2, 2, 2), PpoSettings(gae_lambda=gae_lambda), seed=0)
        returns, advantages = controller._advantages(values, reward)
        torch.testing.assert_close(advantages, torch.tensor([expected]))
        torch.testing.assert_close(returns, advantages + values)


def test_the_reward_of_mnasnet() -> None:
    searcher = toy.make("mnasnet_rl", toy.problem(), target=4.0)
    assert isinstance(searcher, MnasNetRl)
    values = np.array([[-0.8, 4.0], [-0.8, 8.0]])
    np.testing.assert_allclose(searcher.reward(values), [0.8, 0.8 * 2**-0.07])
    assert toy.make("mnasnet_rl", toy.problem()).target == pytest.approx((toy.MACS.low + toy.MACS.high) / 2)  # type: ignore[attr-defined]
