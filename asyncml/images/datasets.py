"""Real images: Fashion-MNIST as arrays, and the same images as objects in a store.

10,000 training and 2,000 test images come with the package, so no download is needed. The full set
of 70,000 is read from disk or downloaded, and checked. Lesson 07 loads the objects, lesson 08
trains on the arrays. Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
"""

import gzip
import hashlib
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from asyncml.failures import shorten
from asyncml.images.png import Bytes, encode_png
from asyncml.pipeline.pipeline import Pipeline
from asyncml.stores.memory import Store, check_store

CLASS_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# SHA-256 of the unpacked files, in the same order, so that repacked copies are valid too.
_SHIPPED = (
    "ed2e37ed5a3a57d212141a69fe0a0de5a7126ffba14ac3f7e76f5f52cc04b1f0",
    "a69f2dad024ca220a8c4d85f621fdf929042d40c444abde2868903e9220ad517",
    "862035b0a96959b614c9574f4c2b0ae9584ca234813e8d6d7adb7838b12ca46b",
    "aa3f574d30afaf0d4d9da084a6f8541771e20693d6a97fae6e9a4953fca8f078",
)
_ORIGINAL = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_OFFLINE = "or put the four original files into a folder and set ASYNCML_DATA to its path"


class DatasetError(RuntimeError):
    """A file of the data set is missing or damaged, or could not be downloaded."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and their labels, row by row. Both arrays belong to the caller and may be changed.

    Args:
        images: (n, height, width) uint8.
        labels: (n,) uint8; `CLASS_NAMES[label]` is what the image shows.
        name: "train" or "test", for example; the default prefix of the keys in `write_objects`.

    Raises:
        ValueError: an array has the wrong shape or dtype.

    Example:
        >>> train, test = fashion_mnist()
        >>> len(train), len(test), train[:600].images.shape
        (10000, 2000, (600, 28, 28))
    """

    images: Bytes
    labels: Bytes
    name: str = "images"

    def __post_init__(self) -> None:
        shape, labels = np.shape(self.images), np.shape(self.labels)
        kinds = [str(getattr(a, "dtype", type(a).__name__)) for a in (self.images, self.labels)]
        if len(shape) != 3 or labels != shape[:1] or kinds != ["uint8", "uint8"]:
            got = f"{shape} {kinds[0]} and {labels} {kinds[1]}"
            raise ValueError(f"`images` must be (n, h, w) uint8 and `labels` (n,) uint8, got {got}")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Dataset({self.name}: {len(self):,} images of {self.images.shape[1:]} pixels)"

    def __iter__(self) -> Iterator[tuple[Bytes, int]]:
        return zip(self.images, self.labels.tolist(), strict=True)

    def __getitem__(self, rows: slice) -> "Dataset":
        if not isinstance(rows, slice):
            raise TypeError(f"a Dataset takes slices only: train[:600], not train[{shorten(rows)}]")
        return Dataset(self.images[rows], self.labels[rows], self.name)


def fashion_mnist(full: bool = False) -> tuple[Dataset, Dataset]:
    """Load the training and test images of Fashion-MNIST, and check them against their SHA-256.

    Args:
        full: False for the 10,000 and 2,000 images that come with the package. True for all 60,000
            and 10,000, read from the folder in the environment variable ASYNCML_DATA or, if that is
            unset, from the user's cache. If they are not in the cache, 31 MB are downloaded.

    Returns:
        (train, test), each a `Dataset` of new arrays, with images (n, 28, 28) uint8 and labels (n,)
        uint8.

    Raises:
        DatasetError: a file is missing, damaged or cannot be downloaded; the message says what to
            do. A partial download is removed, even after an interrupt.

    Example:
        >>> train, test = fashion_mnist()
        >>> CLASS_NAMES[train.labels[0]]
        'Ankle boot'
    """
    if not full:
        return _load(Path(__file__).parent / "data", _SHIPPED, "install asyncml again")
    if folder := os.environ.get("ASYNCML_DATA"):
        mend = "put the four original files into the folder that ASYNCML_DATA names, or unset it"
        return _load(Path(folder).expanduser(), _ORIGINAL, mend)
    cache = _cache()
    for file, sha256 in zip(_FILES, _ORIGINAL, strict=True):
        if not (cache / file).exists():
            _download(file, sha256, cache)
    return _load(cache, _ORIGINAL, f"delete it and call again to download it, {_OFFLINE}")


async def write_objects(
    store: Store, dataset: Dataset, *, prefix: str | None = None, concurrency: int = 16
) -> list[str]:
    """Write each image of a data set to a store, as a PNG object with its label in the key.

    The keys are `train/00000-9.png`, `train/00001-0.png` and so on; sorted, they are in the order
    of the data set. A thread does the encoding, so it does not block the event loop.

    Args:
        store: the store to write to.
        dataset: the images to write. They are read when they are needed: do not change them before
            this returns.
        prefix: the start of every key; by default the name of the data set and a slash.
        concurrency: how many objects are written at once, at least 1.

    Returns:
        The keys, in the order of the data set.

    Raises:
        TypeError: `store` is not a store, `dataset` not a Dataset, or `concurrency` not an int.
        ValueError: `concurrency` is below 1.
        Exception: the first error that `store.put` raised. After an error or a cancellation the
            objects written so far remain, and no task or thread is left.

    Example:
        >>> import asyncio
        >>> from asyncml.stores.memory import MemoryStore
        >>> asyncio.run(write_objects(MemoryStore(), fashion_mnist()[0][:2]))
        ['train/00000-9.png', 'train/00001-0.png']
    """
    check_store(store)
    if not isinstance(dataset, Dataset):
        raise TypeError(f"`dataset` must be a Dataset, got {type(dataset).__name__}")
    prefix = f"{dataset.name}/" if prefix is None else prefix
    digits = max(5, len(str(len(dataset) - 1)))
    keys = [f"{prefix}{i:0{digits}}-{label}.png" for i, label in enumerate(dataset.labels)]

    def encode(one: tuple[str, Bytes]) -> tuple[str, bytes]:
        return one[0], encode_png(one[1])

    async def put(one: tuple[str, bytes]) -> None:
        await store.put(*one)

    images = Pipeline(zip(keys, dataset.images, strict=True)).map(encode)
    async for _ in images.map(put, concurrency=concurrency, ordered=False):
        pass
    return keys


def label_of(key: str) -> int:
    """Return the label in a key made by `write_objects`.

    Args:
        key: a key such as `train/00000-9.png`.

    Raises:
        TypeError: `key` is not a str.
        ValueError: `key` does not end with a label and `.png`.

    Example:
        >>> label_of("train/00000-9.png")
        9
    """
    if not isinstance(key, str):
        raise TypeError(f"`key` must be a str, got {type(key).__name__}")
    if match := re.search(r"-(\d+)\.png\Z", key):
        return int(match[1])
    raise ValueError(f"`key` must end like 'train/00000-9.png', got {key!r}")


def _load(folder: Path, sums: tuple[str, ...], mend: str) -> tuple[Dataset, Dataset]:
    arrays = [_read(folder / file, sha, mend) for file, sha in zip(_FILES, sums, strict=True)]
    return Dataset(arrays[0], arrays[1], "train"), Dataset(arrays[2], arrays[3], "test")


def _read(path: Path, sha256: str, mend: str, source: str = "") -> Bytes:
    """Read, unpack and check one IDX file: the shape as big-endian int32, then the bytes."""
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{source or path} cannot be read: {error}; {mend}") from None
    if (got := hashlib.sha256(data).hexdigest()) != sha256:
        wrong = f"SHA-256 of its unpacked content must be {sha256}, got {got}"
        raise DatasetError(f"{source or path} is not the original: {wrong}; {mend}")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape).copy()


def _cache() -> Path:
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "asyncml" / "fashion-mnist"


def _download(file: str, sha256: str, folder: Path) -> None:
    """Download one file into `folder`, where it appears complete and checked, or not at all."""
    import tempfile  # these modules are slow to import and seldom needed
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    url = _URL + file
    mend = f"check the network and try again, {_OFFLINE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="part-", dir=folder)
    except OSError as error:
        mend = f"make it a folder that you may write to, {_OFFLINE}"
        raise DatasetError(f"cannot write to {folder}: {error.strerror}; {mend}") from None
    try:
        with scratch:
            part = Path(scratch.name) / file
            with urlopen(url, timeout=30) as response, part.open("wb") as out:
                _copy(response, out, file)
            _read(part, sha256, mend, source=url)
            part.replace(folder / file)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection open
        raise DatasetError(f"{url} cannot be downloaded to {folder}: {error}; {mend}") from None


def _copy(response: Any, out: BinaryIO, file: str) -> None:
    """Copy the body of a response in pieces, with a progress bar on stderr."""
    total, done = int(response.headers.get("Content-Length") or 0), 0
    try:
        while piece := response.read(2**18):
            done += out.write(piece)
            bar = f"{'#' * (30 * done // max(total, done)):30}" if total else "size unknown"
            print(f"\r{file} [{bar}] {done / 1e6:5.1f} MB", end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)
    if done < total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
