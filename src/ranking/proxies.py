"""Training-free baselines: numbers that a freshly initialised stand-alone network gives, read as its promise.

Every network is initialised from one seed. Batch norms have what they have at initialisation, scale 1 and shift 0: for
synflow in evaluation mode (mean 0, variance 1), for the others with the statistics of the batch. That state belongs to
the definition: after one forward pass in training mode synflow ranks otherwise. C channels, H W size, B images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from src.datasets.dataset import Batch
from src.datasets.input_spec import InputSpec
from src.runtime.progress import progress
from src.runtime.run_folder import append_rows, replace_file
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath

PROXIES, COLUMNS = "proxies.csv", ("proxy", "arch", "seed", "images", "value")
RECTIFIERS: tuple[Any, ...] = (
    *(torch.ops.aten.relu.default, torch.ops.aten.relu_.default),
    *(torch.ops.aten.hardtanh.default, torch.ops.aten.hardtanh_.default),
)
"""Activations whose pattern is read: ReLU and ReLU6, by whichever module or function."""


def synflow(net: nn.Module, batch: Batch) -> float:
    """log of the sum over weights of |w dR/dw|, R the sum of the outputs on an image of ones, all weights at |w|.

    Tanaka et al. 2020 (Pruning neural networks without any data), over convolutions and linear layers, as Abdelfattah
    et al. 2021 have it. In float64, for products over many layers leave float32; -inf where no signal gets through.
    """
    net = net.double().eval()
    # the network is thrown away: nothing is put back
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    net(torch.ones_like(batch.images[:1], dtype=torch.float64)).sum().backward()
    total = sum(float((w.detach() * w.grad).abs().sum()) for w in weights_of(net) if w.grad is not None)
    return math.log(total) if total > 0 else -math.inf


def naswot(net: nn.Module, batch: Batch) -> float:
    """log |det K|, K (B, B) in how many rectifiers two images are on alike (Mellor et al. 2021)."""
    kernel = np.zeros((len(batch.images), len(batch.images)))
    for pattern in patterns(net, batch.images):
        on = pattern.to(torch.float32).numpy().astype(np.float64)  # (B, units)
        kernel += on @ on.T + (1 - on) @ (1 - on).T
    # by its logarithm: the determinant itself leaves float64
    sign, value = np.linalg.slogdet(kernel)
    return float(value) if sign != 0 else -math.inf


def swap(net: nn.Module, batch: Batch) -> float:
    """The number of different patterns of B images among all rectified units (Peng et al. 2024, SWAP)."""
    # a unit's pattern as bits, so that equal ones meet by sorting bytes
    packed = [np.packbits(pattern.T.numpy(), axis=1) for pattern in patterns(net, batch.images)]
    return float(len(np.unique(np.concatenate(packed), axis=0))) if packed else 0.0


def grad_norm(net: nn.Module, batch: Batch) -> float:
    """Sum over weights of the L2 norm of their gradient of the mean loss of a batch (Abdelfattah et al. 2021)."""
    net.train().zero_grad()
    F.cross_entropy(net(batch.images), batch.labels).backward()
    return sum(float(w.grad.norm()) for w in weights_of(net) if w.grad is not None)


SCORES: dict[str, Callable[[nn.Module, Batch], float]] = {
    "synflow": synflow,
    "naswot": naswot,
    "swap": swap,
    "grad_norm": grad_norm,
}
"""Higher is better."""


def weights_of(net: nn.Module) -> list[Tensor]:
    """The weights of convolutions and linear layers."""
    return [module.weight for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


class Rectified(TorchDispatchMode):
    """Collects which inputs (B, ...) of every rectifier are above 0, as (B, units) bool on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the input before the operation, which may write into it."""
        if func in RECTIFIERS:
            self.patterns.append((args[0] > 0).flatten(1).cpu())
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def patterns(net: nn.Module, images: Tensor) -> list[Tensor]:
    """Where each rectifier is on, in the order of the forward pass: (B, units) bool."""
    with Rectified() as rectified:
        net.train()(images)
    return rectified.patterns


class ProxyScores(NamedTuple):
    """Scores of networks, and what they cost."""

    table: pd.DataFrame
    """Columns arch and one per proxy."""
    milliseconds: dict[str, float]
    """Median of a network in this start, by proxy; empty if all were known."""


def score_networks(
    space: SearchSpace,
    paths: Sequence[ArchPath],
    input_spec: InputSpec,
    batch: Batch,
    names: Sequence[str],
    seed: int,
    folder: Path,
) -> ProxyScores:
    """The proxies of each path's stand-alone network; rows of this seed and batch size in proxies.csv are kept.

    A network is built anew for each proxy, since some leave it changed. Random generators are left as they were.
    """
    file, about = folder / PROXIES, {"seed": seed, "images": len(batch.images)}
    known = read_rows(file, **about)
    # proxy by proxy: whoever stops early has some of them whole
    archs = {space.format(path): path for path in paths}
    jobs = [(name, arch) for name in names for arch in archs if (name, arch) not in known]
    times: dict[str, list[float]] = {name: [] for name in names}
    with progress("proxies", "net", len(names) * len(archs), len(names) * len(archs) - len(jobs)) as bar:
        for name, arch in jobs:
            start = time.perf_counter()
            with fresh(space, archs[arch], input_spec, seed) as net:
                value = SCORES[name](net, batch)
            times[name].append(1e3 * (time.perf_counter() - start))
            append_rows(file, COLUMNS, [{"proxy": name, "arch": arch, **about, "value": repr(value)}])
            known[name, arch] = value
            bar.update()
    table = pd.DataFrame({"arch": list(archs)} | {name: [known[name, arch] for arch in archs] for name in names})
    return ProxyScores(table, {name: float(np.median(each)) for name, each in times.items() if each})


@contextmanager
def fresh(space: SearchSpace, path: ArchPath, input_spec: InputSpec, seed: int) -> Iterator[nn.Module]:
    """A stand-alone network as the seed initialises it; the global generator does not move."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield space.build_path(path, *input_spec)


def read_rows(file: Path, seed: int, images: int) -> dict[tuple[str, str], float]:
    """(proxy, arch) -> value in proxies.csv; a last line without its end is dropped from the file."""
    if not file.exists():
        return {}
    text = file.read_text()
    replace_file(file, text[: text.rfind("\n") + 1])
    table = pd.read_csv(file, dtype={"proxy": str, "arch": str, "value": float})
    table = table[(table["seed"] == seed) & (table["images"] == images)]
    return dict(zip(zip(table["proxy"], table["arch"], strict=True), table["value"].tolist(), strict=True))
