"""CIFAR-10 (JPEG) as the archive holds it: 5,000 training and 1,000 test images a class."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from src.datasets.folder import list_images
from src.datasets.image_folder import image_folder

pytestmark = pytest.mark.slow  # unpacking takes seconds
SOME = ["airplane", "truck"]
UNPACKED = Path(__file__).parents[2] / ".data" / "cifar10_jpeg"


@pytest.fixture(scope="module")
def cifar(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive, or two classes of it unpacked now."""
    if UNPACKED.is_dir():
        return UNPACKED
    archive = shared_data / "cifar10_jpeg.tar.xz"
    if not archive.is_file():
        pytest.fail(f"{archive} is missing")
    folder = tmp_path_factory.mktemp("data")
    with tarfile.open(archive) as file:
        file.extractall(folder, [member for member in file if Path(member.name).parent.name in SOME], filter="data")
    return folder / "cifar10_jpeg"


def test_every_class_has_its_images(cifar: Path) -> None:
    assert np.bincount(list_images(cifar / "train", SOME).labels).tolist() == [5000, 5000]
    assert np.bincount(list_images(cifar / "test", SOME).labels).tolist() == [1000, 1000]


def test_small_images_of_a_part_of_it(cifar: Path, tmp_path: Path) -> None:
    data = image_folder(str(cifar), image_size=16, train_images=500, val=200, cache=str(tmp_path))
    assert set(SOME) <= set(data.classes)
    assert [data.size(part) for part in ("train", "val", "test")] == [500, 200, 1000 * data.num_classes]
    (batch,) = data.batches("val", 200, torch.device("cpu"))
    assert len(set(torch.bincount(batch.labels).tolist())) == 1
    assert batch.images.shape == (200, 3, 16, 16)
    assert all(0.4 < mean < 0.65 for mean in data.mean)
