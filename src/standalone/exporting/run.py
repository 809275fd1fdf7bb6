"""One export carried through: write, compare, put in place, report.

B batch, C channels, H W size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from src.runtime.errors import RunError
from src.runtime.provenance import commit
from src.runtime.run_folder import RESULT, write_json
from src.standalone.exporting.backbone import normalised
from src.standalone.exporting.config_checks import FORMATS
from src.standalone.exporting.files import META, making
from src.standalone.exporting.parts import take_apart
from src.standalone.exporting.result import show
from src.standalone.exporting.speed import compare_speed
from src.standalone.network import Network, read_network
from src.supernet.path import format_path

TOLERANCE = 1e-4
"""Largest difference of a logit from the network's own that is put down to rounding."""
Reader = Callable[[Tensor], Tensor]


def export(cfg: DictConfig, folder: Path) -> None:
    """Write the files of cfg.formats, or leave everything as it was if they compute something else.

    Raises:
        UsageError: what is asked for does not exist, or cannot be written.
        RunError: a file's outputs differ from the network's.
    """
    started = time.monotonic()
    network = read_network(cfg)
    out = Path(cfg.out or (Path(cfg.run) / "export" if cfg.run else folder))
    with making(out, [*(file for name in FORMATS for file in _format(name).FILES), META, RESULT]) as new:
        seconds = {name: _write(name, network, new, cfg.normalise) for name in cfg.formats}
        readers = {name: _format(name).reader(new, network, cfg.normalise) for name in cfg.formats}
        images = images_to_compare(network, cfg.images, cfg.seed)
        differences = compare(network.net, readers, images)
        check(differences)
        speed = compare_speed(network, new, cfg.normalise) if cfg.time else None
        reads = ("uint8 pixels" if cfg.normalise else "normalised float32") if "onnx" in cfg.formats else None
        meta = describe(network) | {"onnx_reads": reads}
        write_json(new / META, meta)
        sizes = {file.name: file.stat().st_size for file in sorted(new.iterdir())}
        result = {"command": "export", **meta, "files": sizes, "differences": differences, "write_seconds": seconds}
        result |= {"speed": speed, "wall_seconds": round(time.monotonic() - started, 2), "commit": commit()}
        write_json(new / RESULT, result)
    show(result, out)


def _format(name: str) -> Any:
    return import_module(f"src.standalone.exporting.{name}")


def _write(name: str, network: Network, folder: Path, normalise: bool) -> float:
    """Write the files of one format; seconds."""
    began = time.monotonic()
    _format(name).write(network, folder, normalise)
    return round(time.monotonic() - began, 2)


def images_to_compare(network: Network, count: int, seed: int) -> dict[str, Tensor]:
    """Random and, if there are any, held-out images (B, C, H, W), as the network reads them."""
    found = {"random": random_images(network, count, seed)}
    return found if network.held_out is None else found | {"held-out": network.held_out}


def compare(net: Reader, readers: dict[str, Reader], images: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """For each kind of images the network's largest logit, and each format's largest difference of a logit from it."""
    found = {}
    with torch.no_grad():
        for kind, batch in images.items():
            logits = net(batch)
            differences = {name: (read(batch) - logits).abs().max().item() for name, read in readers.items()}
            found[kind] = {"largest logit": logits.abs().max().item(), **differences}
    return found


def check(differences: dict[str, dict[str, float]]) -> None:
    """Refuse files that compute something else; a difference that is no number is one too."""
    for kind, found in differences.items():
        for name in set(found) & set(FORMATS):
            if not found[name] <= TOLERANCE:
                raise RunError(
                    f"{name}: outputs on {kind} images differ by {found[name]:.2g} from the network's, more than "
                    f"{TOLERANCE:g}: nothing was written"
                )


def random_images(network: Network, count: int, seed: int) -> Tensor:
    """(B, C, H, W): random pixels as the network reads them, or normal noise if its normalisation is unknown."""
    shape = (count, network.input_spec.in_channels, network.input_spec.image_size, network.input_spec.image_size)
    generator = torch.Generator().manual_seed(seed)
    if network.mean is None or network.std is None:
        return torch.randn(shape, generator=generator)
    return normalised(torch.randint(256, shape, generator=generator, dtype=torch.uint8), network.mean, network.std)


def describe(network: Network) -> dict[str, Any]:
    """What meta.json says."""
    parts = take_apart(network.net, network.input_spec.in_channels)
    return {
        "name": network.name,
        "search_space": network.space.name,
        "path": format_path(network.path),
        "arch": network.space.format(network.path),
        "weights": network.origin,
        "input": network.input_spec._asdict(),
        "classes": network.classes,
        "mean": network.mean,
        "std": network.std,
        **network.costs._asdict(),
        "levels": parts.levels(),
    }
