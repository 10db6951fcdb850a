import asyncio
import gzip
import hashlib
import http.server
import itertools
import os
import pickle
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.images import datasets
from asyncml.images.datasets import (
    CLASS_NAMES,
    Dataset,
    DatasetError,
    fashion_mnist,
    label_of,
    write_objects,
)
from asyncml.images.png import decode_png
from asyncml.stores.memory import MemoryStore, RequestFailed
from asyncml.stores.slow import SlowStore

DATA = Path(datasets.__file__).parent / "data"


def idx(array):
    """The IDX form of a uint8 array, packed."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


def sha256(packed):
    return hashlib.sha256(gzip.decompress(packed)).hexdigest()


@pytest.fixture(scope="module")
def shipped():
    return fashion_mnist()


@pytest.fixture
def small():
    return Dataset(
        np.arange(5 * 28 * 28, dtype=np.uint8).reshape(5, 28, 28),
        np.array([3, 1, 4, 1, 5], np.uint8),
        "train",
    )


class TestShipped:
    def test_shapes_and_dtypes(self, shipped):
        for dataset, n, name in zip(shipped, (10_000, 2_000), ("train", "test"), strict=True):
            assert len(dataset) == n
            assert dataset.images.shape == (n, 28, 28)
            assert dataset.labels.shape == (n,)
            assert dataset.images.dtype == dataset.labels.dtype == np.uint8
            assert dataset.name == name
            assert set(dataset.labels.tolist()) == set(range(10))

    def test_they_are_the_first_of_the_originals(self, shipped):
        train, test = shipped
        assert train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
        assert test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
        assert [CLASS_NAMES[i] for i in train.labels[:2]] == ["Ankle boot", "T-shirt/top"]
        if os.environ.get("ASYNCML_DATA"):
            for part, whole in zip(shipped, fashion_mnist(full=True), strict=True):
                assert np.array_equal(part.images, whole.images[: len(part)])
                assert np.array_equal(part.labels, whole.labels[: len(part)])

    def test_the_readme_states_the_size_and_sums_of_each_file(self):
        readme = (DATA / "README.md").read_text(encoding="utf-8")
        for file, checked in zip(datasets._FILES, datasets._SHIPPED, strict=True):
            packed = (DATA / file).read_bytes()
            assert sha256(packed) == checked
            whole = hashlib.sha256(packed).hexdigest()
            assert f"| `{file}` | {len(packed):,} | `{whole}` | `{checked}` |" in readme
        for checked in datasets._ORIGINAL:
            assert f"`{checked}` |" in readme
        assert "Zalando SE" in (DATA / "LICENSE").read_text(encoding="utf-8")

    def test_each_call_gives_arrays_of_its_own(self, shipped):
        _, test = fashion_mnist()
        test.images[0] = 255
        test.labels[0] = 0
        assert not np.array_equal(shipped[1].images[0], test.images[0])
        assert shipped[1].labels[0] == 9

    def test_a_damaged_installation_is_a_clear_error(self, monkeypatch):
        monkeypatch.setattr(datasets, "_SHIPPED", ("0" * 64,) * 4)
        with pytest.raises(DatasetError, match=f"must be {'0' * 64}, got .*install asyncml again"):
            fashion_mnist()


class TestDataset:
    def test_cuts_and_iterates(self, small):
        cut = small[1:3]
        assert (len(cut), cut.labels.tolist(), cut.name) == (2, [1, 4], "train")
        pairs = list(small)
        assert [label for _, label in pairs] == [3, 1, 4, 1, 5]
        assert all(type(label) is int for _, label in pairs)
        assert np.array_equal(pairs[4][0], small.images[4])
        assert repr(small) == "Dataset(train: 5 images of (28, 28) pixels)"

    def test_is_frozen_and_pickles(self, small):
        with pytest.raises(AttributeError):
            small.images = None
        assert np.array_equal(pickle.loads(pickle.dumps(small)).images, small.images)

    def test_one_row_is_an_error_that_shows_the_mend(self, small):
        with pytest.raises(TypeError, match=r"takes slices only: train\[:600\], not train\[3\]"):
            small[3]

    @pytest.mark.parametrize(
        ("images", "labels"),
        [
            (np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8)),
            (np.zeros((2, 784), np.uint8), np.zeros(2, np.uint8)),
            (np.zeros((2, 28, 28), np.uint8), np.zeros((2, 1), np.uint8)),
            (np.zeros((2, 28, 28)), np.zeros(2, np.uint8)),
            (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)),
        ],
    )
    def test_other_shapes_and_dtypes_are_refused_with_both_named(self, images, labels):
        with pytest.raises(ValueError) as caught:
            Dataset(images, labels)
        for array in (images, labels):
            assert f"{array.shape} {array.dtype}" in str(caught.value)

    def test_lists_are_refused_as_arrays_are(self):
        with pytest.raises(ValueError, match=r"got \(1,\) list and \(1,\) list"):
            Dataset([1], [2])


@pytest.fixture
def originals(monkeypatch):
    """Four small files in the place of the originals: their bytes by name."""
    made = [
        idx(np.arange(n, dtype=np.uint8).reshape(shape))
        for n, shape in ((3 * 4, (3, 2, 2)), (3, (3,)), (2 * 4, (2, 2, 2)), (2, (2,)))
    ]
    monkeypatch.setattr(datasets, "_ORIGINAL", tuple(map(sha256, made)))
    return dict(zip(datasets._FILES, made, strict=True))


@pytest.fixture
def folder(originals, tmp_path, monkeypatch):
    """The folder of the originals, named by ASYNCML_DATA."""
    place = tmp_path / "a folder"
    place.mkdir()
    for name, data in originals.items():
        (place / name).write_bytes(data)
    monkeypatch.setenv("ASYNCML_DATA", str(place))
    return place


def check_small(pair):
    train, test = pair
    assert (len(train), len(test)) == (3, 2)
    assert train.images.tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]
    assert test.labels.tolist() == [0, 1]


class TestFullFromAFolder:
    def test_reads_the_four_files(self, folder):
        check_small(fashion_mnist(full=True))

    def test_a_copy_that_was_packed_again_is_as_good(self, folder, originals):
        name = datasets._FILES[0]
        (folder / name).write_bytes(gzip.compress(gzip.decompress(originals[name]), 1, mtime=7))
        check_small(fashion_mnist(full=True))

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda data: data[:-9], "ended before the end-of-stream"),
            (lambda data: data[:4], "cannot be read"),
            (lambda data: b"", "is not the original"),
            (lambda data: b"<html>Not found</html>", "Not a gzipped file"),
            (lambda data: data[:20] + b"\xff\xff" + data[22:], "cannot be read|is not the orig"),
            (lambda data: idx(np.zeros((3, 2, 2), np.uint8)), "SHA-256 .* must be .*, got"),
        ],
    )
    @pytest.mark.parametrize("file", datasets._FILES)
    def test_a_damaged_file_is_one_clear_error(self, folder, file, damage, reason):
        (folder / file).write_bytes(damage((folder / file).read_bytes()))
        with pytest.raises(DatasetError, match=reason) as caught:
            fashion_mnist(full=True)
        assert str(folder / file) in str(caught.value)
        assert "into the folder that ASYNCML_DATA names, or unset it" in str(caught.value)

    def test_a_missing_file_or_folder_is_an_error_and_no_download(self, folder, monkeypatch):
        monkeypatch.setattr(datasets, "_download", None)
        (folder / datasets._FILES[2]).unlink()
        with pytest.raises(DatasetError, match=f"{datasets._FILES[2]} cannot be read: .*No such"):
            fashion_mnist(full=True)
        monkeypatch.setenv("ASYNCML_DATA", str(folder / "nowhere"))
        with pytest.raises(DatasetError, match="nowhere"):
            fashion_mnist(full=True)


class Server:
    """A real HTTP server of files, with faults by name of file."""

    def __init__(self, files):
        self.files, self.asked, self.fault, self.faulty = files, [], None, datasets._FILES[2]
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                outer.asked.append(name)
                data = outer.files[name]
                fault = outer.fault if name == outer.faulty else None
                if fault == "404":
                    return self.send_error(404)
                if fault == "no answer":
                    return self.connection.close()
                self.send_response(200)
                if fault == "chunks cut off":
                    self.send_header("Transfer-Encoding", "chunked")
                elif fault != "no length, cut off":
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if fault == "chunks cut off":
                    data = b"%x\r\n" % len(data) + data[:10]
                elif fault in ("cut off", "no length, cut off"):
                    data = data[: len(data) // 2]
                elif fault == "wrong bytes":
                    data = bytes(len(data))
                elif fault == "other images":
                    data = outer.files[datasets._FILES[0]][: len(data)]
                self.wfile.write(data)

            def log_message(self, *_): ...

        self.httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/some/path/"


@pytest.fixture
def server(originals, tmp_path, monkeypatch):
    monkeypatch.delenv("ASYNCML_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    server = Server(originals)
    thread = threading.Thread(target=server.httpd.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(datasets, "_URL", server.url)
    monkeypatch.setattr(datasets, "_cache", lambda: tmp_path / "cache" / "fashion-mnist")
    yield server
    server.httpd.shutdown()
    thread.join()
    server.httpd.server_close()


class TestFullByDownload:
    def test_downloads_once_with_a_bar_and_reads_the_cache_then(self, server, tmp_path, capsys):
        check_small(fashion_mnist(full=True))
        bar = capsys.readouterr().err
        assert f"{datasets._FILES[0]} [{'#' * 30}]   0.0 MB\n" in bar
        assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted(datasets._FILES)
        check_small(fashion_mnist(full=True))
        assert server.asked == list(datasets._FILES)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ("404", "HTTP Error 404"),
            ("cut off", "the connection ended after [0-9]+ of [0-9]+ bytes|IncompleteRead"),
            ("no length, cut off", "end-of-stream"),
            ("chunks cut off", "IncompleteRead"),
            ("no answer", "cannot be downloaded"),
            ("wrong bytes", "Not a gzipped file"),
            ("other images", "SHA-256 .* must be|cannot be read"),
        ],
    )
    def test_a_fault_is_one_clear_error_and_leaves_no_half_file(
        self, server, tmp_path, fault, reason, capsys
    ):
        server.fault = fault
        with pytest.raises(DatasetError, match=reason) as caught:
            fashion_mnist(full=True)
        assert f"{server.url}{datasets._FILES[2]}" in str(caught.value)
        assert "check the network and try again" in str(caught.value)
        assert "set ASYNCML_DATA" in str(caught.value)
        kept = [path.name for path in (tmp_path / "cache" / "fashion-mnist").iterdir()]
        assert sorted(kept) == sorted(datasets._FILES[:2])

        server.fault = None  # and the next try goes on where this one ended
        check_small(fashion_mnist(full=True))
        assert server.asked == [*datasets._FILES[:3], *datasets._FILES[2:]]

    def test_no_network(self, server, tmp_path, monkeypatch):
        with socket.socket() as deaf:  # bound and not listening: a port that refuses
            deaf.bind(("127.0.0.1", 0))
            monkeypatch.setattr(datasets, "_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}/")
            with pytest.raises(DatasetError, match=r"cannot be downloaded to .*refused") as caught:
                fashion_mnist(full=True)
        assert caught.value.__suppress_context__
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_an_interrupt_leaves_no_half_file(self, server, tmp_path, monkeypatch):
        def interrupted(response, out, file):
            out.write(response.read(10))
            raise KeyboardInterrupt

        monkeypatch.setattr(datasets, "_copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fashion_mnist(full=True)
        assert list((tmp_path / "cache" / "fashion-mnist").iterdir()) == []

    def test_a_cache_that_cannot_be_written(self, server, tmp_path):
        (tmp_path / "cache").write_bytes(b"a file where the folder should be")
        with pytest.raises(DatasetError, match=r"^cannot write to .*fashion-mnist: ") as caught:
            fashion_mnist(full=True)
        assert "make it a folder that you may write to, or put the four" in str(caught.value)
        assert "network" not in str(caught.value)
        assert server.asked == []

    def test_a_file_that_rotted_in_the_cache(self, server, tmp_path):
        fashion_mnist(full=True)
        rotten = tmp_path / "cache" / "fashion-mnist" / datasets._FILES[1]
        rotten.write_bytes(idx(np.zeros(3, np.uint8)))
        with pytest.raises(DatasetError, match="delete it and call again") as caught:
            fashion_mnist(full=True)
        assert str(rotten) in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "variable", "end"),
    [
        ("linux", None, (".cache", "asyncml", "fashion-mnist")),
        ("linux", "XDG_CACHE_HOME", ("mine", "asyncml", "fashion-mnist")),
        ("darwin", None, ("Library", "Caches", "asyncml", "fashion-mnist")),
        ("win32", None, ("AppData", "Local", "asyncml", "fashion-mnist")),
        ("win32", "LOCALAPPDATA", ("mine", "asyncml", "fashion-mnist")),
    ],
)
def test_the_cache_is_where_the_platform_keeps_its_caches(monkeypatch, platform, variable, end):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(Path.home() / "mine"))
    monkeypatch.setattr(sys, "platform", platform)
    assert datasets._cache() == Path.home().joinpath(*end)


class TestWriteObjects:
    def test_one_png_per_image_with_the_label_in_the_key(self, small):
        async def main():
            store = MemoryStore()
            keys = await write_objects(store, small)
            return keys, await store.list("train/"), [await store.get(key) for key in keys]

        keys, listed, objects = simulate(main())
        assert keys == listed == [f"train/{i:05}-{n}.png" for i, n in enumerate([3, 1, 4, 1, 5])]
        assert [label_of(key) for key in keys] == small.labels.tolist()
        assert np.array_equal(np.stack([decode_png(data) for data in objects]), small.images)

    def test_training_and_test_images_fit_in_one_store(self, shipped):
        async def main():
            store = MemoryStore()
            for dataset in shipped:
                await write_objects(store, dataset[:200])
            await write_objects(store, shipped[0][:3], prefix="other-")
            return [len(await store.list(prefix)) for prefix in ("train/", "test/", "other-0000")]

        assert simulate(main()) == [200, 200, 3]

    @settings(deadline=None, max_examples=15)
    @given(st.integers(0, 300), st.integers(1, 20))
    def test_every_image_is_written_and_the_bound_is_kept(self, n, concurrency):
        images = np.arange(n, dtype=np.uint32).view(np.uint8).reshape(n, 2, 2)

        async def main():
            store = SlowStore(MemoryStore(), latency_s=1)
            keys = await write_objects(
                store, Dataset(images, np.zeros(n, np.uint8)), concurrency=concurrency
            )
            assert store.peak_in_flight == min(n, concurrency) or n > concurrency
            assert store.peak_in_flight <= concurrency
            return keys, [decode_png(await store.store.get(key)) for key in keys]

        keys, decoded = simulate(main())
        assert keys == sorted(set(keys))
        assert len(keys) == n
        assert all(map(np.array_equal, decoded, images))

    def test_sorted_keys_are_in_order_however_many(self):
        n = 100_001
        dataset = Dataset(np.zeros((n, 1, 1), np.uint8), np.zeros(n, np.uint8))

        class Nowhere(MemoryStore):
            async def put(self, key, data): ...

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets, "encode_png", lambda image: b"")
            keys = simulate(write_objects(Nowhere(), dataset))
        assert keys == sorted(keys)

    @contextmanager
    def leaving_nothing(self):
        before, deadline = threading.active_count(), time.monotonic() + 5
        yield
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.001)  # a thread that has been told to end needs a moment
        assert threading.active_count() == before

    def test_the_first_error_of_the_store_comes_out_as_it_is(self, small):
        async def main():
            with pytest.raises(RequestFailed, match=r"put 'train/0000.-.\.png' failed"):
                await write_objects(SlowStore(MemoryStore(), failure_rate=1), small)
            assert len(asyncio.all_tasks()) == 1

        with self.leaving_nothing():
            simulate(main())

    def test_cancelled_at_any_moment_it_leaves_nothing_running(self, small):
        async def main(moment):
            store = SlowStore(MemoryStore(), latency_s=1, jitter=0)
            task = asyncio.ensure_future(write_objects(store, small, concurrency=2))
            await asyncio.sleep(moment)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(asyncio.all_tasks()) == 1
            assert store.in_flight == 0

        with self.leaving_nothing():
            for moment in (0, 1e-9, 0.5, 1.5, 2.5):
                simulate(main(moment))

    def test_bad_arguments_are_refused(self, small):
        for arguments, options, error, message in (
            (({}, small), {}, TypeError, "`store` must have .* got dict"),
            ((MemoryStore(), [1]), {}, TypeError, "`dataset` must be a Dataset, got list"),
            ((MemoryStore(), small), {"concurrency": 0}, ValueError, "`concurrency` must be >= 1"),
            ((MemoryStore(), small), {"concurrency": 2.5}, TypeError, "`concurrency` .* got 2.5"),
            ((MemoryStore(), small), {"concurrency": True}, TypeError, "`concurrency` .* got True"),
        ):
            with pytest.raises(error, match=message):
                simulate(write_objects(*arguments, **options))


@pytest.mark.parametrize("key", ["train/00000.png", "train/00000-9.jpg", "train/0-9.png\n", ""])
def test_a_key_without_a_label_is_refused(key):
    with pytest.raises(ValueError, match=r"must end like 'train/00000-9.png', got"):
        label_of(key)


def test_a_key_that_is_no_str_is_named():
    with pytest.raises(TypeError, match="`key` must be a str, got NoneType"):
        label_of(None)


def test_there_are_ten_classes():
    assert len(CLASS_NAMES) == 10
    assert all(a != b for a, b in itertools.pairwise(CLASS_NAMES))
