import builtins
import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from asyncml.clock import simulate
from asyncml.images.png import decode_png, encode_png
from asyncml.stores.memory import MemoryStore
from asyncml.stores.slow import SlowStore

GREY = np.random.default_rng(0).integers(0, 9, (28, 28)).astype(np.uint8)


def png(array, mode=None, **options):
    out = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(out, "PNG", **options)
    return out.getvalue()


def chunk(kind, content):
    """A part of a PNG."""
    data = kind + content
    return struct.pack(">I", len(content)) + data + struct.pack(">I", zlib.crc32(data))


def by_hand(rows, depth, kind):
    """A PNG of any depth and kind of pixels: each channel but alpha holds `rows`."""
    height, width = rows.shape
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    values = np.repeat(rows, channels, axis=1)
    if kind in (4, 6):
        values[:, channels - 1 :: channels] = 2**depth - 1
    bits = (values[..., None] >> np.arange(depth)[::-1] & 1).reshape(height, -1)
    packed = [b"\0" + bytes(row) for row in np.packbits(bits.astype(bool), axis=1)]
    parts = [
        chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0)),
        *([chunk(b"PLTE", bytes(range(6)))] if kind == 3 else []),
        chunk(b"IDAT", zlib.compress(b"".join(packed))),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class TestPng:
    @settings(deadline=None, max_examples=50)
    @given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40)))
    def test_decoding_gives_back_what_was_encoded(self, image):
        data = encode_png(image)
        assert np.array_equal(decode_png(data), image)
        with Image.open(io.BytesIO(data)) as seen:  # a second opinion, on the format
            seen.verify()
            assert (seen.mode, seen.size) == ("L", image.shape[::-1])

    def test_the_array_is_the_callers_own(self):
        decode_png(encode_png(np.zeros((28, 28), np.uint8)))[0, 0] = 1

    def test_any_greyscale_depth_decodes(self):
        grey = np.arange(0, 256, 17, dtype=np.uint8).reshape(4, 4)
        assert np.array_equal(decode_png(png(grey)), grey)
        assert np.array_equal(decode_png(png(grey.astype(np.uint16) * 257)), grey)
        assert np.array_equal(decode_png(png(grey, "LA")), grey)
        assert np.array_equal(decode_png(png(grey > 99)), (grey > 99) * np.uint8(255))
        for decoded in (decode_png(png(grey.astype(np.uint16))), decode_png(png(grey > 99))):
            assert (decoded.dtype, decoded.shape) == (np.uint8, (4, 4))

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    @pytest.mark.parametrize("alpha", [False, True])
    def test_every_kind_of_grey_decodes_to_its_upper_bits(self, depth, alpha):
        if alpha and depth < 8:
            return  # there is no such PNG
        rows = np.array([[0, 3, 1], [2, 2, 3]]) * (2**depth - 1) // 3
        expected = rows >> (depth - 8) if depth > 8 else rows * 255 // (2**depth - 1)
        data = by_hand(rows, depth, 4 if alpha else 0)
        decoded = decode_png(data)
        assert (decoded.dtype, decoded.flags.c_contiguous) == (np.uint8, True)
        assert decoded.tolist() == expected.tolist()
        decoded[0, 0] = 1

    @pytest.mark.parametrize(
        ("depth", "kind", "named"),
        [
            *((depth, 3, f"{depth}-bit palette") for depth in (1, 2, 4, 8)),
            *((depth, 2, f"{depth}-bit RGB") for depth in (8, 16)),
            *((depth, 6, f"{depth}-bit RGB with alpha") for depth in (8, 16)),
        ],
    )
    def test_colour_is_refused_and_named(self, depth, kind, named):
        data = by_hand(np.zeros((4, 4), int), depth, kind)
        with pytest.raises(ValueError) as caught:
            decode_png(data, key="a.png")
        assert str(caught.value) == (
            f"object 'a.png' must be a greyscale PNG, got one in colour ({named})"
        )

    def test_no_bit_can_be_wrong_unnoticed(self):
        for image, step in ((np.eye(3, dtype=np.uint8), 1), (GREY, 9)):
            whole = encode_png(image)
            for bit in range(0, 8 * len(whole), step):
                damaged = bytearray(whole)
                damaged[bit // 8] ^= 1 << bit % 8
                with pytest.raises(ValueError, match="`data` does not decode as PNG: "):
                    decode_png(damaged)

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_damaged_pixels_are_named(self, kind):
        damaged = bytearray(encode_png(GREY))
        damaged[-31] ^= 4
        with pytest.raises(ValueError, match="damaged, since the checksum of its b'IDAT' is "):
            decode_png(kind(damaged))

    def test_what_was_cut_off_anywhere_is_no_image(self):
        whole = encode_png(np.arange(784, dtype=np.uint8).reshape(28, 28))
        for end in range(len(whole)):
            with pytest.raises(ValueError, match="does not decode as PNG"):
                decode_png(whole[:end])
        with pytest.raises(ValueError, match="cut off, since its end is missing"):
            decode_png(whole[:-12])

    def test_what_follows_the_end_is_no_part_of_it(self):
        image = np.arange(12, dtype=np.uint8).reshape(3, 4)
        for rest in (b"\n", b"more than twelve bytes"):
            assert np.array_equal(decode_png(encode_png(image) + rest), image)

    @pytest.mark.parametrize("name", [b"tEXt", b"xyZz"])
    def test_other_parts_are_compared_too(self, name):
        image = np.arange(12, dtype=np.uint8).reshape(3, 4)
        whole = encode_png(image)
        for place in (33, len(whole) - 12):  # after the header, and after the pixels
            parts = whole[:place] + chunk(name, b"a\0b") + whole[place:]
            assert np.array_equal(decode_png(parts), image)
            damaged = bytearray(parts)
            damaged[place + 9] ^= 1
            with pytest.raises(ValueError, match="does not decode as PNG"):
                decode_png(damaged)

    @pytest.mark.parametrize("damage", [b"", b"x", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
    def test_what_is_no_png_is_a_clear_error_without_an_address(self, damage):
        with pytest.raises(ValueError, match="`data` does not decode as PNG") as caught:
            decode_png(damage)
        assert f"({len(damage)} bytes, starting {damage!r})" in str(caught.value)
        assert " at 0x" not in str(caught.value)

    def test_a_jpeg_is_no_png(self):
        out = io.BytesIO()
        Image.new("L", (28, 28)).save(out, "JPEG")
        with pytest.raises(ValueError, match="not a PNG file"):
            decode_png(out.getvalue())

    @settings(deadline=None, max_examples=100)
    @given(st.data())
    def test_any_damage_is_a_value_error_or_harmless(self, data):
        whole = bytearray(encode_png(np.arange(784, dtype=np.uint8).reshape(28, 28)))
        place = data.draw(st.integers(0, len(whole) - 1))
        if data.draw(st.booleans()):
            whole[place] = data.draw(st.integers(0, 255))
        else:
            del whole[place:]
        with suppress(ValueError):
            assert decode_png(bytes(whole)).ndim == 2

    def test_the_key_is_in_the_error(self):
        async def through(store):
            await store.put("train/00007-3.png", b"half a fi")
            return await store.get("train/00007-3.png")

        for store in (MemoryStore(), SlowStore(MemoryStore())):
            with pytest.raises(ValueError, match=r"object 'train/00007-3.png' does not decode"):
                decode_png(simulate(through(store)))
        with pytest.raises(ValueError, match="object 'mine' does not decode"):
            decode_png(b"", key="mine")

    def test_a_forgotten_await_is_named(self):
        coroutine = MemoryStore({"a": b""}).get("a")
        with pytest.raises(TypeError, match=r"decode_png\(await store.get\(key\)\), got coroutine"):
            decode_png(coroutine)
        coroutine.close()

    def test_without_pillow_it_says_what_to_install(self, monkeypatch):
        real = builtins.__import__

        def without(name, *args):
            if name == "PIL":
                raise ModuleNotFoundError("No module named 'PIL'", name="PIL")
            return real(name, *args)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match=r'needs Pillow: pip install "asyncml\[images\]"'):
            decode_png(b"")

    @pytest.mark.parametrize(
        "image", [np.zeros((2, 2)), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 2), np.uint8)]
    )
    def test_only_greys_encode(self, image):
        with pytest.raises(ValueError, match=r"`image` must be \(height, width\) uint8, got"):
            encode_png(image)
