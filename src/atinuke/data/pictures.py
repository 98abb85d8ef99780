"""Pictures → arrays of bytes: files that pillow opens, and the idx files in which MNIST and its kin are given.

A picture is uint8 (height, width, channels) with 1 channel (grey) or 3 (red, green, blue). It is turned as its camera
says; what is transparent becomes white; of a film the first frame is taken; 16 bits per channel become 8.
"""

import math
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atinuke.config import one_line
from atinuke.data.archives import iter_members, open_text, read_fully
from atinuke.data.documents import Unusable, shown
from atinuke.errors import MissingExtraError, SourceError

Picture = NDArray[np.uint8]  # (height, width, channels)

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
MOST_PIXELS = 64_000_000
"""A picture with more is not opened: decoded it would take hundreds of megabytes."""

GREY_MODES = ("1", "L", "I", "I;16", "I;16L", "I;16B", "I;16N")
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_IDX_AXES = 8


def read_picture(
    picture: Path | bytes, *, height: int, width: int, channels: int, say: Callable[[str], None] = lambda line: None
) -> Picture:
    """The picture in a file, or in the bytes of one, as uint8 (height, width, channels).

    Of another size it is stretched to this one; colours become grey by their luminance, grey becomes three equal
    channels. SourceError when it is no picture, or a broken one. `say` is told, in one line, when it is stretched.
    """
    name = "the picture" if isinstance(picture, bytes) else shown(str(picture))
    try:
        found = decode_picture(_bytes_of(picture))
        if found.shape[:2] != (height, width):
            say(f"{name} was stretched from {found.shape[0]} × {found.shape[1]} to {height} × {width} pixels.")
        return fit_picture(found, height=height, width=width, channels=channels)
    except Unusable as reason:
        raise SourceError(f"{name} cannot be read as a picture: {reason}. Give a whole PNG or JPEG file.") from reason


def decode_picture(data: bytes) -> Picture:
    """The picture as it is, grey or in colours; Unusable, with the reason, when pillow cannot make one of `data`."""
    image_library, turn = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pillow warns of large pictures, which are refused below, and odd headers
            image = image_library.open(BytesIO(data))
            if image.width * image.height > MOST_PIXELS:
                raise Unusable(f"a picture of {image.width:,} × {image.height:,} pixels; {MOST_PIXELS:,} are the most")
            return _to_bytes(turn(image), image_library)
    except (Unusable, MissingExtraError):
        raise
    except image_library.UnidentifiedImageError as error:
        raise Unusable("no picture that pillow knows") from error
    except Exception as error:  # on broken files its decoders raise OSError, SyntaxError, struct.error and others
        raise Unusable(f"a broken picture: {shown(one_line(error) or type(error).__name__)}") from error


def fit_picture(picture: Picture, *, height: int, width: int, channels: int) -> Picture:
    """`picture` with this size and these channels; itself where it has them already."""
    if picture.shape == (height, width, channels):
        return picture
    if picture.shape[:2] != (height, width):
        image_library, _ = _pillow()
        squeezed = picture[:, :, 0] if picture.shape[2] == 1 else picture
        image = image_library.fromarray(np.ascontiguousarray(squeezed))
        # Bicubic in pillow averages over the source when it shrinks, so that thin strokes do not vanish.
        resized = np.array(image.resize((width, height), image_library.Resampling.BICUBIC), dtype=np.uint8)
        picture = resized.reshape(height, width, -1)
    if picture.shape[2] == channels:
        return picture
    return np.repeat(picture, 3, axis=2) if channels == 3 else to_grey(picture)


def to_grey(picture: Picture) -> Picture:
    """Luminance of red, green and blue as uint8 (height, width, 1): the weights of ITU-R BT.601, as in pillow."""
    luminance = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.rint(luminance).astype(np.uint8)[:, :, None]


def read_idx(path: Path) -> NDArray[Any]:
    """The array in an idx file, also a compressed one (.gz …): uint8 (pictures, rows, columns) for MNIST's pictures.

    The format (LeCun, Cortes, Burges): two zero bytes, a code for the type, the number of axes, then the length of
    each axis as a big-endian 32-bit number, then the values, the last axis fastest. SourceError when the file is
    anything else, or shorter or longer than it says.
    """
    name = shown(str(path))
    try:
        (member,) = iter_members(str(path), path.name)
        with open_text(member) as stream:
            return _parse_idx(stream)
    except (Unusable, ValueError) as reason:
        raise SourceError(
            f"{name} is not a whole idx file: {reason}. Expected a file as MNIST has them; download it again."
        ) from reason


def _parse_idx(stream: Any) -> NDArray[Any]:
    head = read_fully(stream, 4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_DTYPES or not 1 <= head[3] <= MOST_IDX_AXES:
        raise Unusable(f"it begins with the bytes {head.hex(' ') or '(none)'}; 00 00, a type and a number of axes do")
    sizes = read_fully(stream, 4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise Unusable("it ends before the lengths of its axes")
    shape = tuple(int(length) for length in np.frombuffer(sizes, dtype=">u4"))
    dtype = np.dtype(IDX_DTYPES[head[2]])
    expected = math.prod(shape) * dtype.itemsize
    data = read_fully(stream, expected + 1)  # takes memory for what is there, whatever the header claims
    if len(data) != expected:
        found = f"{len(data):,} bytes" if len(data) < expected else "more"
        raise Unusable(f"it should hold {expected:,} bytes for {' × '.join(map(str, shape))} values and holds {found}")
    return np.frombuffer(data, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _bytes_of(picture: Path | bytes) -> bytes:
    if isinstance(picture, bytes):
        return picture
    try:
        return picture.read_bytes()
    except OSError as error:
        raise Unusable(error.strerror or "unreadable") from error


def _to_bytes(image: Any, library: Any) -> Picture:
    if image.mode == "F":
        raise Unusable("a picture with 32-bit fractions; expected 8 or 16 bits per channel")
    if image.mode in GREY_MODES:
        grey = np.asarray(image)
        if grey.dtype == bool:
            grey = grey.astype(np.uint8) * np.uint8(255)
        elif grey.dtype != np.uint8:  # 16 bits; mode I holds them in 32
            grey = np.rint(np.clip(grey, 0, 65_535) / 257).astype(np.uint8)
        return np.array(grey[:, :, None])
    is_grey = image.mode == "LA"
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = library.alpha_composite(library.new("RGBA", over.size, "white"), over)
    colours = np.array(image.convert("RGB"), dtype=np.uint8)
    return colours[:, :, :1] if is_grey else colours


def _pillow() -> tuple[Any, Any]:
    """pillow's Image module, and its function that turns a picture as the camera noted."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError.for_extra("Reading pictures", "pictures") from error
    return Image, ImageOps.exif_transpose
