"""The format `module`: model.py, plain PyTorch in one file, and its weights beside it, for torch and as safetensors.

B batch, C channels, H W size.
"""

from __future__ import annotations

import importlib.util
import json
import textwrap
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from string import Template
from typing import Any

from torch import Tensor

from src.datasets.preprocessing import AREA, Preprocessing, as_pixels, central, upright
from src.runtime.checkpoint import write_safetensors, write_tensors
from src.runtime.run_folder import replace_file
from src.standalone.exporting.backbone import Backbone, FeatureInfo, normalised
from src.standalone.exporting.backbone_parts import BackboneParts, split_backbone
from src.standalone.exporting.constructors import ConstructorWriter
from src.standalone.exporting.source_copy import SourceCopy
from src.standalone.network import SAFETENSORS, WEIGHTS, Network
from src.supernet.path import format_path

MODEL = "model.py"
FILES = (MODEL, WEIGHTS, SAFETENSORS)
PACKAGES = ("torch",)
TEMPLATE = Path(__file__).with_name("model.py.txt")


def write(network: Network, folder: Path, normalise: bool) -> None:
    """Write all files; `normalise` changes none: the function is in model.py where mean and deviation are known."""
    parts = split_backbone(network.net, network.input_spec.in_channels)
    state = parts.state_dict()
    write_tensors(state, folder / WEIGHTS)
    write_safetensors(state, folder / SAFETENSORS)
    replace_file(folder / MODEL, model_source(network, parts))


def reader(folder: Path, network: Network, normalise: bool) -> Callable[[Tensor], Tensor]:
    """The network as the written files build it: normalised images (B, C, H, W) to logits (B, classes)."""
    return import_model(folder / MODEL).load(folder / WEIGHTS)


class UncachedLoader(SourceFileLoader):
    """Imports a file without a __pycache__ folder beside it, which would be taken for a part of the export."""

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        """Write no bytecode."""


def import_model(file: Path) -> Any:
    """Import a written model.py under a name of its own: several files called model.py can be loaded at once."""
    # Not in sys.modules: importing it again reads the file again.
    name = f"exported_{abs(hash(file))}"
    spec = importlib.util.spec_from_file_location(name, file, loader=UncachedLoader(name, str(file)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_source(network: Network, parts: BackboneParts) -> str:
    """The text of model.py."""
    # The calls that build the parts, then the definitions that these calls and the base class need.
    constructors = ConstructorWriter({module: shape.inputs for module, shape in parts.shapes.items()})
    written = {part: constructors.write(getattr(parts, part), 8) for part in ("stem", "layers", "final")}
    sources = SourceCopy()
    for block in [*constructors.used, FeatureInfo, Backbone]:
        sources.add(block)
    if network.mean is not None:
        sources.add(normalised)
    if network.preprocessing is not None:
        for function in (upright, central, as_pixels):
            sources.add(function)
    sources.add_import("torch")
    sources.add_import("torch", "nn")
    sources.add_import("pathlib", "Path")
    sources.add_import("typing", "Any")

    # What timm reads of a network, and the facts of this one.
    size = (network.input_spec.in_channels, network.input_spec.image_size, network.input_spec.image_size)
    facts: dict[str, Any] = {"architecture": json.dumps(network.name)}
    facts |= {"num_classes": network.input_spec.num_classes, "input_size": size, "classifier": '"classifier"'}
    # A network that saw no data has no normalisation to state.
    facts |= {"mean": network.mean, "std": network.std} if network.mean is not None else {}
    facts |= timm_transform(network.preprocessing) if network.preprocessing is not None else {}
    return Template(TEMPLATE.read_text()).substitute(
        written,
        **network.input_spec._asdict(),
        name=network.name,
        space=network.space.name,
        about=description(network, size),
        reading=usage(network, size),
        imports=sources.imports(),
        blocks=sources.text(),
        classes=listed(network.classes),
        levels="".join(f"    {json.dumps(level)},\n" for level in parts.levels()),
        strides=", ".join(str(level["reduction"]) for level in parts.levels()[-4:]),
        num_features=parts.classifier.in_features,
        last_layer=len(parts.layers) - 1,
        reading_files=reading_files(network),
        statistics=f"MEAN, STD = {network.mean}, {network.std}\n" if network.mean is not None else "",
        pretrained_cfg="".join(f'        "{key}": {value},\n' for key, value in facts.items()),
    )


def listed(names: Sequence[str] | None) -> str:
    """A list of names in Python's words, a line each."""
    if names is None:
        return "None"
    return "[\n" + "".join(f"    {json.dumps(name, ensure_ascii=False)},\n" for name in names) + "]"


def timm_transform(preprocessing: Preprocessing) -> dict[str, str]:
    """The settings of timm's transforms that come nearest; Pillow's BOX shrinks as ours does, enlarging differs."""
    interpolation = "box" if preprocessing.interpolation == AREA else preprocessing.interpolation
    crop = 1.0 if preprocessing.crop is None else preprocessing.crop
    return {"interpolation": f'"{interpolation}"', "crop_pct": str(crop), "crop_mode": '"center"'}


READ_IMAGE = '''

def read_image(file: str | Path | Any) -> torch.Tensor:
    """Pixels ($channels, $size, $size) uint8 of an image file, as the network was trained on; takes Pillow and NumPy.

$steps
    """
    image = upright(file, $channels, $levels)
    return torch.from_numpy(as_pixels(central(image, $size, $crop, $interpolation)).copy())


def preprocess(*files: str | Path | Any) -> torch.Tensor:
    """The network's input (B, $channels, $size, $size) for image files."""
    return normalised(torch.stack([read_image(file) for file in files]), MEAN, STD)
'''
"""The functions of model.py that read image files."""


def reading_files(network: Network) -> str:
    """The text of `read_image` and `preprocess`; empty where preprocessing or normalisation are unknown."""
    known = network.preprocessing
    if known is None or network.mean is None:
        return ""
    steps = "\n".join(f"    {i}. {step}" for i, step in enumerate(known.steps(), 1))
    return Template(READ_IMAGE).substitute(
        channels=known.channels,
        size=known.size,
        levels=known.levels,
        crop=known.crop,
        interpolation=json.dumps(known.interpolation),
        steps=steps,
    )


WITHOUT_STATISTICS = (
    "Its batch norms keep no statistics, so what becomes of an image depends on the batch that it is in."
)


def description(network: Network, size: tuple[int, ...]) -> str:
    """A paragraph: the path, its costs for images of `size` (C, H, W), where the weights come from."""
    path, arch, costs = format_path(network.path), network.space.format(network.path), network.costs
    facts = [
        f"Path {path}{'' if arch == path else f', which is {arch}'}: {costs.params:,} parameters, {costs.macs:,} "
        f"multiply-adds for an image of {'x'.join(map(str, size))}, {network.input_spec.num_classes:,} classes.",
        f"Weights: {network.origin}.",
        *([] if network.has_statistics else [WITHOUT_STATISTICS]),
    ]
    return textwrap.fill(" ".join(facts), 118)


def usage(network: Network, size: tuple[int, ...]) -> str:
    """The lines in the head of model.py that call the network on images of `size` (C, H, W)."""
    shape, classes = f"(B, {', '.join(map(str, size))})", f"(B, {network.input_spec.num_classes})"
    if network.mean is None:
        return f"    logits = network(images)  # {shape}, normalised, to {classes}"
    if network.preprocessing is not None:
        images = '    images = model.preprocess("photo.jpg")  # its steps: model.read_image; several files make a batch'
        return f"{images}\n    logits = network(images)  # {classes}; model.CLASSES names them"
    pixels = f"    images = model.normalised(pixels, model.MEAN, model.STD)  # {shape}, uint8"
    return f"{pixels}\n    logits = network(images)  # {classes}"
