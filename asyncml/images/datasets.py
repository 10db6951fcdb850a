"""Real images: Fashion-MNIST as arrays, and the same images as objects in a store.

10,000 training and 2,000 test images come with the package, so that nobody waits for a download;
all 70,000 are read from disk or downloaded, and checked. Lesson 07 loads the objects, lesson 08
trains on the arrays. Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
"""

import asyncio
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

from asyncml.checks import check_int
from asyncml.failures import shorten
from asyncml.images.png import Bytes, encode_png
from asyncml.stores.memory import Store, check_store
from asyncml.threads import ThreadPool

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
# SHA-256 of the unpacked files, in that order: a copy that was packed again is as good
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
    """A file of the data set is missing, damaged, or could not be downloaded."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and their labels, row by row; both arrays are the caller's own and may be changed.

    Args:
        images: (n, height, width) uint8.
        labels: (n,) uint8; `CLASS_NAMES[label]` is what the image shows.
        name: "train" or "test"; `write_objects` puts it into the keys.

    Raises:
        ValueError: the arrays have other shapes or dtypes.

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
            raise TypeError(f"a Dataset is cut by slices: train[:600], not train[{shorten(rows)}]")
        return Dataset(self.images[rows], self.labels[rows], self.name)


def fashion_mnist(full: bool = False) -> tuple[Dataset, Dataset]:
    """Load the training and the test images of Fashion-MNIST, checked by their SHA-256.

    Args:
        full: False for the 10,000 and 2,000 images that come with the package. True for all 60,000
            and 10,000: from the folder that the environment variable ASYNCML_DATA names, else from
            the user's cache, which is filled by a download of 31 MB when it is empty.

    Returns:
        (train, test), each a `Dataset` of new arrays: images (n, 28, 28) uint8, labels (n,) uint8.

    Raises:
        DatasetError: a file is missing, damaged or cannot be downloaded; says what to do. What was
            downloaded in part is removed, on an interrupt too.

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
    """Write each image of a data set into a store, as a PNG object with its label in the key.

    The keys are `train/00000-9.png`, `train/00001-0.png`, ...: sorted, they are in the order of the
    data set. One thread encodes, so the event loop is not held.

    Args:
        store: where to.
        dataset: what; its images are read bit by bit, so leave them as they are until this ends.
        prefix: the keys begin with it; by default the name of the data set and a slash.
        concurrency: how many objects are written at once, at least 1.

    Returns:
        The keys, in the order of the data set.

    Raises:
        TypeError: `store` is no store, `dataset` no Dataset, or `concurrency` no int.
        ValueError: `concurrency` is below 1.
        Exception: what `store.put` raised first. Then, as on cancellation, the objects that were
            written stay, and no task and no thread is left.

    Example:
        >>> from asyncml.stores.memory import MemoryStore
        >>> asyncio.run(write_objects(MemoryStore(), fashion_mnist()[0][:2]))
        ['train/00000-9.png', 'train/00001-0.png']
    """
    check_store(store)
    if not isinstance(dataset, Dataset):
        raise TypeError(f"`dataset` must be a Dataset, got {type(dataset).__name__}")
    concurrency = check_int("concurrency", concurrency)
    prefix = f"{dataset.name}/" if prefix is None else prefix
    digits = max(5, len(str(len(dataset) - 1)))
    keys = [f"{prefix}{i:0{digits}}-{label}.png" for i, label in enumerate(dataset.labels)]
    step = min(64, -(-len(keys) // concurrency) or 1)
    parts = iter([slice(start, start + step) for start in range(0, len(keys), step)])
    loop = asyncio.get_running_loop()

    async def write() -> None:
        for part in parts:
            images = await loop.run_in_executor(pool, list, map(encode_png, dataset.images[part]))
            for key, data in zip(keys[part], images, strict=True):
                await store.put(key, data)

    with ThreadPool(1, name="encode") as pool:
        try:
            async with asyncio.TaskGroup() as group:
                for i in range(concurrency):
                    group.create_task(write(), name=f"write-{i}")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return keys


def label_of(key: str) -> int:
    """Read the label out of a key that `write_objects` made.

    Raises:
        TypeError, ValueError: the key is no str, or does not end like one.

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
    """Unpack and check one IDX file: its shape as big-endian int32, then its bytes."""
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
    """Download one file into `folder`; it appears there whole and checked, or not at all."""
    import tempfile  # all of these are slow to import and seldom needed
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
            error.close()  # it holds the connection
        raise DatasetError(f"{url} cannot be downloaded to {folder}: {error}; {mend}") from None


def _copy(response: Any, out: BinaryIO, file: str) -> None:
    """Copy the body of a response in pieces, with a bar that grows on stderr."""
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
