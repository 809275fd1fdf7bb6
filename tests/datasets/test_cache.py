from pathlib import Path

import numpy as np
import pytest

from src.datasets import cache
from src.datasets.cache import decode_cached
from src.datasets.decode import Pixels, decode, square_reader
from src.datasets.folder import Files, list_images
from src.runtime.errors import RunError
from tests.datasets.made_images import make_classes, noise


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return list_images(make_classes(tmp_path / "images", 2)).files


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Store":
    return Store(tmp_path / "cache", monkeypatch)


class Store:
    """A cache folder, and how often something had to be decoded for it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.decoded = folder, 0
        monkeypatch.setattr(cache, "decode", self._decode)

    def _decode(self, *arguments: object) -> Pixels:
        self.decoded += 1
        return decode(*arguments)  # type: ignore[arg-type]

    def read(self, files: Files, size: int = 8, channels: int = 3) -> Pixels:
        return decode_cached(files, square_reader(files, size, channels), str(self.folder))

    def entry(self) -> Path:
        (path,) = self.folder.iterdir()
        return path


def test_second_time_nothing_is_decoded(files: Files, store: Store) -> None:
    assert (store.read(files) == store.read(files)).all()
    assert store.decoded == 1


def test_moved_and_renamed_files_are_found_again(files: Files, store: Store, tmp_path: Path) -> None:
    first = store.read(files)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    moved = list_images(tmp_path / "elsewhere").files
    assert (store.read(moved) == first).all()
    assert store.decoded == 1


def test_changed_content_is_decoded_anew(files: Files, store: Store) -> None:
    before = store.read(files)
    noise(77).save(files.path(0))
    after = store.read(files)
    assert store.decoded == 2
    assert (before[0] != after[0]).any() and (before[1:] == after[1:]).all()


def test_settings_and_order_belong_to_the_key(files: Files, store: Store) -> None:
    assert store.read(files).shape == (6, 3, 8, 8)
    assert store.read(files, size=4).shape == (6, 3, 4, 4)
    assert store.read(files, channels=1).shape == (6, 1, 8, 8)
    turned = store.read(files.take(np.arange(6)[::-1]))
    assert (turned == store.read(files)[::-1]).all()
    assert store.decoded == 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_with_text(path: Path) -> None:
    path.write_text("not an archive")


def replace_with_other_array(path: Path) -> None:
    np.savez(path, pixels=np.zeros((6, 3, 4, 4), np.uint8))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip_bit, replace_with_text, replace_with_other_array, empty])
def test_damaged_entry_is_rebuilt(files: Files, store: Store, damage: object) -> None:
    good = store.read(files)
    damage(store.entry())  # type: ignore[operator]
    assert (store.read(files) == good).all()
    assert (store.read(files) == good).all()
    assert store.decoded == 2


def test_nothing_half_written_is_left(files: Files, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(RunError) as caught:
        store.read(files)
    line = str(caught.value)
    assert "No space left on device" in line and "dataset.cache=<folder>" in line
    assert list(store.folder.iterdir()) == []


def test_without_a_cache_nothing_is_written(files: Files, tmp_path: Path) -> None:
    decode_cached(files, square_reader(files, 8, 3), None)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
