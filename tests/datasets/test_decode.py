from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.datasets.decode import decode, decode_ahead, read_image, square_reader
from src.datasets.folder import Files, list_images
from src.datasets.imagenet import timm_transform
from src.datasets.preprocessing import AREA, as_pixels, central
from tests.datasets.made_images import make_classes, noise, refusal


def saved(image: Image.Image, path: Path) -> str:
    image.save(path)
    return str(path)


def read(path: str, channels: int = 3) -> np.ndarray:
    return as_pixels(read_image(path, channels))


def test_rgb_is_taken_as_it_is(tmp_path: Path) -> None:
    image = noise(0)
    assert (read(saved(image, tmp_path / "a.png")) == np.asarray(image).transpose(2, 0, 1)).all()


def test_grey_becomes_three_equal_channels_or_stays_one(tmp_path: Path) -> None:
    grey = noise(0).convert("L")
    path = saved(grey, tmp_path / "a.png")
    assert (read(path) == np.asarray(grey)).all()
    assert (read(path, channels=1) == np.asarray(grey)[None]).all()


def test_black_and_white_spans_the_range(tmp_path: Path) -> None:
    pixels = read(saved(noise(0).convert("1"), tmp_path / "a.png"))
    assert set(np.unique(pixels)) == {0, 255}


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, extension: str) -> None:
    values = np.asarray(noise(0).convert("L"))
    deep = Image.fromarray(values.astype(np.uint16) * 257)
    path = saved(deep, tmp_path / f"a.{extension}")
    with Image.open(path) as image:
        assert image.mode == "I;16"
    assert (read(path, channels=1) == values).all()


def test_wide_integers_are_scaled_or_refused(tmp_path: Path) -> None:
    path = saved(Image.new("I", (4, 4), 257 * 9), tmp_path / "a.tif")
    assert (read(path) == 9).all()
    path = saved(Image.new("I", (4, 4), 70000), tmp_path / "b.tif")
    assert refusal(lambda: read(path)) == f"cannot read image {path}: its pixels exceed 16 bits"


def test_palette_colours_are_looked_up(tmp_path: Path) -> None:
    palette = noise(0).quantize(16)
    assert (read(saved(palette, tmp_path / "a.png")) == np.asarray(palette.convert("RGB")).transpose(2, 0, 1)).all()


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((0, 0), 1)
    palette.save(tmp_path / "a.png", transparency=0)
    pixels = read(str(tmp_path / "a.png"))
    assert pixels[:, 0, 0].tolist() == [200, 100, 50]
    assert pixels[:, 1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("mode", "colour", "expected"), [("RGBA", (100, 0, 200, 51), 224), ("LA", (100, 51), 224)])
def test_alpha_is_blended_over_white(tmp_path: Path, mode: str, colour: tuple[int, ...], expected: int) -> None:
    pixels = read(saved(Image.new(mode, (4, 4), colour), tmp_path / "a.png"))
    assert abs(int(pixels[0, 0, 0]) - expected) <= 1  # 0.2 * 100 + 0.8 * 255


@pytest.mark.parametrize("extension", ["tif", "jpg"])
def test_cmyk_becomes_rgb(tmp_path: Path, extension: str) -> None:
    cmyk = Image.new("RGB", (8, 8), (200, 100, 50)).convert("CMYK")
    pixels = read(saved(cmyk, tmp_path / f"a.{extension}"))
    assert np.abs(pixels[:, 4, 4].astype(int) - [200, 100, 50]).max() <= 3


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = noise(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees
    image.save(tmp_path / "a.png", exif=exif)
    turned = image.transpose(Image.Transpose.ROTATE_270)
    assert (read(str(tmp_path / "a.png")) == np.asarray(turned).transpose(2, 0, 1)).all()


def test_shrinking_averages_areas() -> None:
    image = noise(0, 8)
    means = np.asarray(image, float).reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(np.asarray(central(image, 4, None, AREA), float) - means).max() <= 1  # rounded twice


def test_the_central_square_is_taken() -> None:
    wide = Image.fromarray(np.tile(np.arange(0, 120, 10, dtype=np.uint8), (4, 1)))
    assert np.asarray(central(wide, 4, None, AREA))[0].tolist() == [40, 50, 60, 70]
    assert central(wide, 9, None, AREA).size == (9, 9)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert refusal(lambda: read(str(text))) == f"cannot read image {text}: not an image of a known format"
    whole = Path(saved(noise(0, 64), tmp_path / "whole.jpg")).read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole[: len(whole) // 2])
    assert str(cut) in refusal(lambda: read(str(cut)))
    gone = tmp_path / "gone.png"
    assert str(gone) in refusal(lambda: read(str(gone)))
    real = saved(Image.new("F", (4, 4), 0.5), tmp_path / "real.tif")
    assert "store 8 or 16 bits" in refusal(lambda: read(real))


def test_without_a_size_all_must_share_one(tmp_path: Path) -> None:
    files = list_images(make_classes(tmp_path, 3)).files
    reader = square_reader(files, None, 3)
    assert decode(files, reader).shape == (9, 3, 8, 8)
    noise(0, 9).save(files.path(4))
    line = refusal(lambda: decode(files, reader))
    assert files.path(4) in line and "9x9" in line and "image_size=<pixels>" in line


def test_without_a_size_images_must_be_square(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (6, 4)).save(path)
    line = refusal(lambda: square_reader(Files(tmp_path, np.array([b"a.png"])), None, 3))
    assert str(path) in line and "6x4" in line and "image_size=<pixels>" in line


def test_channels_are_three_or_one(tmp_path: Path) -> None:
    assert "use 3 (RGB) or 1 (grey)" in refusal(lambda: square_reader(Files(tmp_path, np.array([b"a.png"])), 8, 2))


def test_decoding_ahead_keeps_the_order(tmp_path: Path) -> None:
    files = list_images(make_classes(tmp_path, 3)).files
    reader = square_reader(files, 4, 3)
    chunks = list(decode_ahead(files, reader, 4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 1]
    assert (np.concatenate(chunks) == decode(files, reader)).all()
    assert list(decode_ahead(files.take(slice(0)), reader, 4)) == []


@pytest.mark.parametrize("size", [(300, 200), (201, 333), (224, 224), (64, 1000), (31, 40)])
@pytest.mark.parametrize("filter_name", ["bilinear", "bicubic", "lanczos"])
def test_a_share_of_the_shorter_side_is_timms_crop(size: tuple[int, int], filter_name: str) -> None:
    image = noise(3, 1000).crop((0, 0, *size))
    wanted = timm_transform(32, interpolation=filter_name, crop_pct=0.875)(image)
    assert np.array_equal(as_pixels(central(image, 32, 0.875, filter_name)), np.asarray(wanted))
