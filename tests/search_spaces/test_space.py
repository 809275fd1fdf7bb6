"""Laws that every search space keeps."""

import pytest
import torch
from torch import Tensor, nn

from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import BatchNorm, set_ghost_batch
from src.supernet.cells import FixedCell, Reduction
from src.supernet.path import ArchPath, format_path
from tests.search_spaces.examples import SPACES


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return SPACES[request.param][0]


@pytest.fixture
def supernet(space: SearchSpace) -> nn.Module:
    torch.manual_seed(0)
    net = space.build(*input_spec(space)).train()
    with torch.no_grad():
        for path in sampled(space):
            net(images(space), path)  # moves the statistics away from 0 and 1
    return net.eval()


def input_spec(space: SearchSpace) -> tuple[int, int, int]:
    return next(found for candidate, found in SPACES.values() if candidate is space)


def images(space: SearchSpace) -> Tensor:
    in_channels, _, image_size = input_spec(space)
    return torch.randn(2, in_channels, image_size, image_size, generator=torch.Generator().manual_seed(1))


def sampled(space: SearchSpace, count: int = 3) -> list[ArchPath]:
    return space.sample_distinct(count, torch.Generator().manual_seed(2))


def copy_weights(supernet: nn.Module, alone: nn.Module, path: ArchPath) -> None:
    """Give a stand-alone network the weights and statistics of its path."""
    shared = [iter(supernet.op_modules((layer, choice))) for layer, choice in enumerate(path)]  # type: ignore[operator]
    stem, body, tail = alone.children()
    pairs = [(stem, supernet.get_submodule("stem")), (tail, supernet.get_submodule("tail"))]
    for i, module in enumerate(body.children()):
        if isinstance(module, FixedCell):
            pairs += [(op, next(ops)) for op, ops in zip(module.edges, shared, strict=True)]
        elif isinstance(module, Reduction):
            pairs.append((module, supernet.get_submodule(f"cells.{i}")))
        else:
            pairs.append((module, next(shared[i])))
    for target, source in pairs:
        target.load_state_dict(source.state_dict())


@torch.no_grad()
def test_a_path_of_the_supernet_is_its_stand_alone_network(space: SearchSpace, supernet: nn.Module) -> None:
    for path in sampled(space):
        alone = space.build_path(path, *input_spec(space)).eval()
        copy_weights(supernet, alone, path)
        assert torch.equal(supernet(images(space), path), alone(images(space)))


@torch.no_grad()
def test_one_hot_weights_are_the_choice_itself(space: SearchSpace, supernet: nn.Module) -> None:
    for path in sampled(space):
        route = [torch.eye(size)[choice] for size, choice in zip(space.sizes, path, strict=True)]
        assert torch.equal(supernet(images(space), tuple(route)), supernet(images(space), path))


@torch.no_grad()
def test_weights_may_stand_for_some_layers_alone(space: SearchSpace, supernet: nn.Module) -> None:
    path = sampled(space, 1)[0]
    mixed = (torch.full((space.sizes[0],), 1 / space.sizes[0]), *path[1:])
    logits = supernet(images(space), mixed)
    assert logits.isfinite().all()
    assert not torch.equal(logits, supernet(images(space), path))


def test_gradients_reach_the_chosen_operations_alone(space: SearchSpace, supernet: nn.Module) -> None:
    path = sampled(space, 1)[0]
    supernet.train()(images(space), path).sum().backward()
    for layer, size in enumerate(space.sizes):
        for choice in set(range(size)) - {path[layer]}:
            modules = supernet.op_modules((layer, choice))  # type: ignore[operator]
            assert all(p.grad is None for module in modules for p in module.parameters())


def test_every_batch_norm_takes_ghost_batches(supernet: nn.Module) -> None:
    set_ghost_batch(supernet, 16)
    norms = [m for m in supernet.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, BatchNorm) and norm.ghost_batch == 16 for norm in norms)


def test_paths_can_be_read_back(space: SearchSpace) -> None:
    for path in sampled(space, 20):
        assert space.parse(space.format(path)) == path
        assert space.parse(format_path(path)) == path
        assert space.parse(list(path)) == path


def test_layers_name_their_choices(space: SearchSpace) -> None:
    for layer, size in enumerate(space.sizes):
        assert len(set(space.op_names(layer))) == size


def test_canonical_paths_stay_what_they_are(space: SearchSpace) -> None:
    for path in sampled(space, 20):
        found = space.canonical(path)
        assert space.check(found) == space.canonical(found) == found


def test_illegal_paths_are_refused_in_one_line(space: SearchSpace) -> None:
    legal = (0,) * len(space.sizes)
    for path in [legal[1:], (*legal, 0), (space.sizes[0], *legal[1:]), (-1, *legal[1:]), ()]:
        with pytest.raises(UsageError, match=r"has \d+ layers|offers 0 to \d") as refused:
            space.check(path)
        assert "\n" not in str(refused.value)
    for text in ["nonsense", "1-a-2", "|", None, 1.5]:
        with pytest.raises(UsageError):
            space.parse(text)


def test_sampling_follows_its_generator(space: SearchSpace) -> None:
    assert sampled(space, 5) == sampled(space, 5)
