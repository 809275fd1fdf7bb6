"""One export: write the files of a network, compare their outputs with it, move them to their places, report.

B batch, C channels, H W size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.datasets.preprocessing import described
from src.runtime.errors import RunError
from src.runtime.provenance import commit
from src.runtime.result import write_result
from src.runtime.result_schemas import ExportResult
from src.runtime.run_folder import RESULT, replace_file, write_json
from src.standalone.exporting.backbone import normalised
from src.standalone.exporting.backbone_parts import split_backbone
from src.standalone.exporting.config_checks import FORMATS
from src.standalone.exporting.result import show
from src.standalone.exporting.speed import compare_speed
from src.standalone.exporting.staging import META, staging_folder
from src.standalone.model_card import CARD, model_card
from src.standalone.network import Network
from src.supernet.path import format_path

TOLERANCE = 1e-4
"""Largest difference of a logit from the network's own that is put down to rounding."""
Reader = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ExportSettings:
    """The files that an export writes, and the images that they are compared on."""

    formats: tuple[str, ...]
    """Names out of config_checks.FORMATS."""
    normalise: bool
    """The ONNX file reads uint8 pixels."""
    images: int
    """Random images to compare on."""
    seed: int
    measure_speed: bool
    started: float
    """time.monotonic() when the command began."""


def export(network: Network, out: Path, settings: ExportSettings) -> None:
    """Write the files of `settings.formats`, or leave the folder as it was if they compute something else.

    Raises:
        UsageError: the network or the folder cannot be written.
        RunError: a file's outputs differ from the network's.
    """
    normalise = settings.normalise
    with staging_folder(
        out, [*(file for name in FORMATS for file in format_module(name).FILES), META, CARD, RESULT]
    ) as new:
        seconds = {}
        for name in settings.formats:
            began = time.monotonic()
            format_module(name).write(network, new, normalise)
            seconds[name] = round(time.monotonic() - began, 2)

        # Read the files back as a user would; a difference ends the export before anything is moved.
        readers = {name: format_module(name).reader(new, network, normalise) for name in settings.formats}
        images = {"random": random_images(network, settings.images, settings.seed)}
        if network.held_out is not None:
            images["held-out"] = network.held_out
        differences = compare(network.net, readers, images)
        check(differences)
        speed = compare_speed(network, new, normalise) if settings.measure_speed else None

        # result.json comes last: it lists the other files with their sizes.
        reads = ("uint8 pixels" if normalise else "normalised float32") if "onnx" in settings.formats else None
        meta = metadata(network) | {"onnx_reads": reads}
        write_json(new / META, meta)
        replace_file(new / CARD, model_card(network.name, meta, network.record))
        result = ExportResult(
            **meta,
            files={file.name: file.stat().st_size for file in sorted(new.iterdir())},
            differences=differences,
            write_seconds=seconds,
            speed=speed,
            seed=settings.seed,
            device="cpu",
            wall_seconds=round(time.monotonic() - settings.started, 2),
            commit=commit(),
        )
        write_result(new, result)
    show(result, out)


def format_module(name: str) -> Any:
    """The module of this folder that writes a format: FILES, `write(...)` and `reader(...)`."""
    return import_module(f"src.standalone.exporting.{name}")


def compare(net: Reader, readers: dict[str, Reader], images: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """For each kind of images (B, C, H, W): the network's largest logit, each format's largest difference from it."""
    # Logits and not classes: rounding shows before it changes a class.
    differences = {}
    with torch.no_grad():
        for kind, batch in images.items():
            logits = net(batch)
            largest = {name: (read(batch) - logits).abs().max().item() for name, read in readers.items()}
            differences[kind] = {"largest logit": logits.abs().max().item(), **largest}
    return differences


def check(differences: dict[str, dict[str, float]]) -> None:
    """Refuse files that compute something else than the network.

    Raises:
        RunError: a difference above the tolerance.
    """
    for kind, largest in differences.items():
        for name in set(largest) & set(FORMATS):
            if not largest[name] <= TOLERANCE:  # written so that NaN is refused too
                raise RunError(
                    f"{name}: outputs on {kind} images differ by {largest[name]:.2g} from the network's, more than "
                    f"{TOLERANCE:g}: nothing was written"
                )


def random_images(network: Network, count: int, seed: int) -> Tensor:
    """(B, C, H, W): random pixels, normalised, or normal noise if the network's normalisation is unknown."""
    # A generator of its own: an export with the same seed compares on the same images.
    shape = (count, network.input_spec.in_channels, network.input_spec.image_size, network.input_spec.image_size)
    generator = torch.Generator().manual_seed(seed)
    if network.mean is None or network.std is None:
        return torch.randn(shape, generator=generator)
    return normalised(torch.randint(256, shape, generator=generator, dtype=torch.uint8), network.mean, network.std)


def metadata(network: Network) -> dict[str, Any]:
    """The contents of meta.json, `onnx_reads` aside."""
    parts = split_backbone(network.net, network.input_spec.in_channels)
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
        "preprocessing": described(network.preprocessing),
        **network.costs._asdict(),
        "levels": parts.levels(),
    }
