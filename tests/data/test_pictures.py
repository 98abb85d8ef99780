import gzip
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from atinuke.data.documents import Unusable
from atinuke.data.pictures import MOST_PIXELS, decode_picture, fit_picture, read_idx, read_picture
from atinuke.errors import SourceError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20  # 3 high, 4 wide
COLOURS = np.stack([GREY, 255 - GREY, np.full_like(GREY, 7)], axis=2)


def png(picture: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, format="PNG", **options)
    return file.getvalue()


def idx(values: np.ndarray, code: int) -> bytes:
    return bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def test_a_picture_comes_back_pixel_by_pixel(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    path.write_bytes(png(Image.fromarray(GREY)))
    assert np.array_equal(read_picture(path, height=3, width=4, channels=1), GREY[:, :, None])
    colours = read_picture(png(Image.fromarray(COLOURS)), height=3, width=4, channels=3)
    assert np.array_equal(colours, COLOURS)
    assert colours.dtype == np.uint8


def test_grey_becomes_three_equal_channels_and_colours_become_their_luminance_as_pillow_has_it() -> None:
    grey = png(Image.fromarray(GREY))
    assert np.array_equal(read_picture(grey, height=3, width=4, channels=3), np.repeat(GREY[:, :, None], 3, axis=2))
    colours = Image.fromarray(COLOURS)
    ours = read_picture(png(colours), height=3, width=4, channels=1)[:, :, 0]
    assert np.abs(ours.astype(int) - np.asarray(colours.convert("L"))).max() <= 1  # pillow's weights are rounded


def test_another_size_is_stretched_to_the_one_asked_for() -> None:
    half = np.zeros((8, 8), np.uint8)
    half[:, 4:] = 200
    picture = fit_picture(half[:, :, None], height=4, width=16, channels=1)
    assert picture.shape == (4, 16, 1)
    assert picture[:, :5].max() == 0 and np.unique(picture[:, 12:]).tolist() == [200]
    flat = fit_picture(np.full((5, 7, 3), 90, np.uint8), height=2, width=3, channels=1)
    assert np.unique(flat).tolist() == [90]


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(GREY > 100), (GREY > 100) * 255),
        (Image.fromarray(GREY.astype(np.uint16) * 257), GREY),
        (Image.fromarray(GREY).convert("LA"), GREY),
    ],
    ids=["one bit", "sixteen bits", "with an opaque alpha channel"],
)
def test_other_depths_become_eight_bits_of_grey(picture: Image.Image, expected: np.ndarray) -> None:
    found = decode_picture(png(picture))
    assert found.shape == (3, 4, 1) and np.array_equal(found[:, :, 0], expected)


def test_what_is_transparent_is_white() -> None:
    picture = Image.fromarray(np.dstack([COLOURS, np.full((3, 4), 255, np.uint8)]))
    picture.putpixel((1, 2), (9, 9, 9, 0))
    found = decode_picture(png(picture))
    assert found[2, 1].tolist() == [255, 255, 255] and np.array_equal(found[0], COLOURS[0])


def test_a_picture_is_turned_as_the_camera_noted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter, clockwise
    found = decode_picture(png(Image.fromarray(GREY), exif=exif))
    assert np.array_equal(found[:, :, 0], np.rot90(GREY, -1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no picture that pillow knows"),
        (b"just words", "no picture that pillow knows"),
        (png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)))[:-60], "a broken picture"),
    ],
)
def test_what_is_no_whole_picture_is_refused_in_one_line(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "it.png").write_bytes(data)
    with pytest.raises(SourceError, match=rf"it\.png cannot be read as a picture: {reason}") as caught:
        read_picture(tmp_path / "it.png", height=2, width=2, channels=1)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no\.png cannot be read as a picture: No such file"):
        read_picture(tmp_path / "no.png", height=2, width=2, channels=1)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    header = struct.pack(">II", side, side) + b"\x08\x00\x00\x00\x00"
    data = png(Image.fromarray(GREY))
    chunk = b"IHDR" + header
    data = data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    with pytest.raises(Unusable, match=r"64,000,000 are the most"):
        decode_picture(data)


@given(st.binary(max_size=200), st.integers(0, 80))
@settings(max_examples=60)
def test_no_bytes_make_it_fail_in_another_way(noise: bytes, at: int) -> None:
    whole = png(Image.fromarray(GREY))
    try:
        decode_picture(whole[:at] + noise + whole[at + len(noise) :])
    except Unusable as reason:
        assert str(reason)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_an_idx_file_is_read_as_it_is_specified(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"two-idx3-ubyte{ending}"
    # Written out: type 8 (bytes), 3 axes of lengths 2, 1 and 3, then six values.
    data = bytes.fromhex("00000803 00000002 00000001 00000003 01 02 03 fd fe ff")
    path.write_bytes(gzip.compress(data) if ending else data)
    assert read_idx(path).tolist() == [[[1, 2, 3]], [[253, 254, 255]]]


def test_idx_numbers_of_several_bytes_have_the_first_byte_in_front(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes.fromhex("00000b01 00000002 0102 fffe"))
    assert read_idx(path).tolist() == [258, -2]
    values = np.array([0.5, -3.25], dtype=">f4")
    path.write_bytes(idx(values, 0x0D))
    assert read_idx(path).tolist() == [0.5, -3.25]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", r"it begins with the bytes \(none\)"),
        ("89504e47", "it begins with the bytes 89 50 4e 47"),
        ("00000803 00000002", "it ends before the lengths of its axes"),
        ("00000801 00000004 0102", "it should hold 4 bytes for 4 values and holds 2 bytes"),
        ("00000801 00000001 0102", "it should hold 1 bytes for 1 values and holds more"),
        ("00000802 ffffffff ffffffff 0102", "values and holds 2 bytes"),
        ("00000701 00000001 01", "00 00, a type and a number of axes do"),
    ],
)
def test_a_damaged_idx_file_is_refused_in_one_line(data: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(bytes.fromhex(data))
    with pytest.raises(SourceError, match=rf"train-images-idx3-ubyte is not a whole idx file: .*{reason}"):
        read_idx(path)


def test_a_cut_off_compressed_idx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.arange(200, dtype=np.uint8), 8))[:-20])
    with pytest.raises(SourceError, match="is not a whole idx file: damaged gzip"):
        read_idx(path)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_idx_file_or_a_source_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(b"\0\0" + data)
    try:
        values = read_idx(path)
    except SourceError:
        return
    assert values.nbytes + 4 + 4 * values.ndim == len(data) + 2
