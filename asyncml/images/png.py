"""Encode greyscale images as PNG files, and decode them.

The encoder is written here; Pillow decodes. Both functions are plain and synchronous, meant to run
in threads. Lesson 07 decodes with them.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_COLOURS = {2: "RGB", 3: "palette", 6: "RGB with alpha"}  # by their colour type in a PNG


def encode_png(image: Bytes) -> bytes:
    """Encode a greyscale image as PNG; `decode_png` restores it exactly.

    For small images this takes half of Pillow's time (PNG, third edition, W3C 2025, section 5).

    Args:
        image: (height, width) uint8.

    Raises:
        ValueError: `image` has the wrong shape or dtype.

    Example:
        >>> encode_png(np.zeros((28, 28), np.uint8))[1:4]
        b'PNG'
    """
    if image.ndim != 2 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"`image` must be (height, width) uint8, got {image.shape} {image.dtype}")
    height, width = image.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row starts with its filter type: 0, none
    rows[:, 1:] = image
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey, not interlaced
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def decode_png(data: bytes, *, key: str | None = None) -> Bytes:
    """Decode a greyscale PNG of any bit depth. It blocks, so run it in a thread.

    The checksum of each chunk is checked. Of 16 bits the upper 8 are kept, and alpha is dropped.

    Args:
        data: the bytes of the file.
        key: its name in errors; not needed for bytes returned by a store of this package.

    Returns:
        (height, width) uint8, so (28, 28) for the images of this package.

    Raises:
        ValueError: `data` is not a PNG, is damaged or has colours; the message names the key.
        TypeError: `data` is not bytes.
        ImportError: Pillow is not installed.

    Example:
        >>> decode_png(encode_png(np.eye(2, dtype=np.uint8)))
        array([[1, 0],
               [0, 1]], dtype=uint8)
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImportError('decode_png needs Pillow: pip install "asyncml[images]"') from None
    if not isinstance(data, bytes | bytearray | memoryview):
        hint = "decode_png(await store.get(key))"
        raise TypeError(f"`data` must be bytes, as in {hint}, got {type(data).__name__}")
    data = bytes(data) if isinstance(data, memoryview) else data
    name = getattr(data, "key", "") if key is None else key
    what = f"object {name!r}" if name else "`data`"
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            mode = image.mode
            pixels = np.array(image.convert("L") if mode in ("1", "LA") else image)
        _check_sums(data)
    except Exception as error:  # Pillow may raise almost anything for a damaged file
        reason = "not a PNG file" if isinstance(error, UnidentifiedImageError) else str(error)
        seen = f"{len(data)} bytes, starting {bytes(data[:8])!r}"
        raise ValueError(f"{what} does not decode as PNG: {reason} ({seen})") from error
    depth, kind = data[24:26]  # in the header, the first chunk of every PNG
    if kind not in (0, 4):
        got = f"{depth}-bit {_COLOURS[kind]}"
        raise ValueError(f"{what} must be a greyscale PNG, got one in colour ({got})")
    if mode.startswith("I"):
        return (pixels >> 8).astype(np.uint8)  # 16 bits
    return pixels[..., 0].copy() if pixels.ndim == 3 else pixels  # 16 bits with alpha come as RGBA


def _check_sums(data: bytes) -> None:
    """Raise ValueError unless each chunk matches its checksum; Pillow checks only some."""
    number, crc32, start = int.from_bytes, zlib.crc32, 8
    if data[12:16] != b"IHDR":
        raise ValueError("damaged, since its header is not the first part")
    while start < len(data):
        begin = start + 4
        end = begin + 4 + number(data[start:begin], "big")
        chunk = data[begin:end]  # its name and content; the checksum follows
        start = end + 4
        if crc32(chunk) != number(data[end:start], "big"):
            raise ValueError(f"damaged, since the checksum of its {bytes(chunk[:4])!r} is wrong")
        if chunk == b"IEND":
            return
    raise ValueError("cut off, since its end is missing")
