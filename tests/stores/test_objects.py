import asyncio
import builtins
import hashlib
import inspect
import os
import pickle
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import asyncml as aml
from asyncml.stores.memory import MemoryStore, ObjectNotFound, RequestFailed, StoredObject
from asyncml.stores.objects import ObjectStore
from asyncml.stores.slow import SlowStore
from tests.web import Handler, serving

if not (find_spec("obstore") and find_spec("moto")):
    pytest.skip("not installed: see tests/requirements.txt", allow_module_level=True)

KEYS = [
    *("a", "a b/1", "a b/10", "a b/2", "ab/1", "b/c/d/e.png"),
    *("é/ü 1%20.png", "日本/~1", "Z+y&x=w", "a,b;c@d#e"),
]
PREFIXES = [
    "",
    "a",
    "a b",
    "a b/",
    "a b/1",
    "b/c/d/",
    "b/c/x",
    "é/ü",
    "日",
    "nothing/",
    "Z",
    "/",
    "//",
]
NO_KEYS = ["", "/a", "a/", "a//b", ".", "a/../b", "tab\t", "\x7f", "\udc80", 42]

# ends when its standard input does
S3 = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

# what a program has done when it ends; the long switch interval keeps obstore's threads from
# finishing before: without a wait at the end, it aborts in 7 runs of 10
END = """
async def cancel():
    tasks = [asyncio.ensure_future(store.get("a")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()

async def leave():
    asyncio.ensure_future(store.get("a"))
    await asyncio.sleep(0)

async def catch():
    global error
    try:
        await store.get("missing")
    except KeyError as caught:
        error = caught

sys.setswitchinterval(10)
store = aml.ObjectStore(sys.argv[1])
{program}
"""
IMPORTS = "import asyncio, os, sys\nimport asyncml as aml\naml.ObjectStore, aml.Pipeline\n"
# each program is four copies of this one, which has imported all and started nothing: once for all
COPIES = """
import obstore.store
for program in sys.argv[2:]:
    ends = []
    for _ in range(4):
        if not (pid := os.fork()):
            exec(program)
            sys.exit()
        ends.append(pid)
    print([os.waitpid(pid, 0)[1] for pid in ends], flush=True)
"""
PROGRAMS = [
    "asyncio.run(store.list())",
    "asyncio.run(store.get('a'))",
    "asyncio.run(store.put('b', b'1'))",
    "asyncio.run(cancel())",
    "asyncio.run(leave())",
    "asyncio.run(catch())",
    "list(aml.Pipeline('aaaa').map(store.get, concurrency=4))",
]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No credentials of the machine's, and no proxy on the way to itself."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def images():
    return aml.fashion_mnist()[0][:40]


@pytest.fixture(scope="module")
def web():
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def s3():
    """The address of an S3 server with a bucket."""
    command = [sys.executable, "-c", S3]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
        yield address
        process.stdin.close()


@pytest.fixture
def foreign(s3, request):
    """The URL of a bucket, and a function that puts an object there under any key whatsoever."""
    name = "bucket-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def put(key, data=b""):
        url = f"{s3}/{name}" + f"/{urllib.parse.quote(key)}" * bool(key)
        kind = {"Content-Type": "application/octet-stream"}
        direct.open(urllib.request.Request(url, data, kind, method="PUT")).close()

    put("")
    return f"s3://{name}", put


def bucket_of_an_empty_object(status):
    """What answers as a bucket does, but gives this status to all who ask for the object."""

    class Bucket(Handler):
        def do_GET(self):
            key = "<Key>empty</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            contents = f"<Contents>{key}<Size>0</Size><ETag>e</ETag></Contents>"
            self.answer("", f"<ListBucketResult>{contents}</ListBucketResult>".encode())

        def do_HEAD(self):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()

    return Bucket


def bucket(address, url="s3://bucket", **options):
    options = {"access_key_id": "a", "secret_access_key": "b", "region": "eu-west-1"} | options
    return ObjectStore(url, endpoint=address, **options)


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    """A store without objects."""
    if request.param == "folder":
        return ObjectStore((tmp_path / "a folder é%20").as_uri(), mkdir=True)
    return bucket(request.getfixturevalue("s3"), f"s3://bucket/a prefix é/{tmp_path.name}/")


def unused_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def failure(error, coroutine):
    with pytest.raises(error) as caught:
        asyncio.run(coroutine)
    assert type(caught.value) is error
    return str(caught.value)


async def fill(store, keys=KEYS):
    for key in keys:
        await store.put(key, key.encode())


async def collect(pipeline):
    return [item async for item in pipeline]


def open_files(folder):
    """What is open in a folder, where the system can tell."""
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").glob("*")]
    return [link for link in links if link.startswith(str(folder))]


class TestInAFolderAndInABucket:
    def test_gives_back_what_was_put(self, store):
        async def main():
            await fill(store)
            await store.put("a", b"other")
            await store.put("bytearray", bytearray(b"1"))
            await store.put("view", memoryview(b"2"))
            await store.put("empty", b"")
            names = ("bytearray", "view", "empty")
            return [await store.get(key) for key in (*KEYS, *names)]

        assert asyncio.run(main()) == [b"other", *(k.encode() for k in KEYS[1:]), b"1", b"2", b""]

    def test_its_bytes_know_their_key(self, store):
        async def main():
            await fill(store, ["a b/1"])
            return await store.get("a b/1")

        data = asyncio.run(main())
        assert isinstance(data, StoredObject)
        assert data.key == "a b/1"

    def test_lists_as_a_memory_store_does(self, store):
        async def main():
            memory = MemoryStore()
            for each in (store, memory):
                await fill(each)
            return [[await each.list(p) for p in PREFIXES] for each in (store, memory)]

        listed, expected = asyncio.run(main())
        assert listed == expected
        assert listed[0] == sorted(KEYS)

    def test_a_missing_key_is_named(self, store):
        assert failure(ObjectNotFound, store.get("a/missing")) == (
            f"no object 'a/missing' in {store.url}"
        )

    @pytest.mark.parametrize("key", NO_KEYS)
    def test_what_can_be_no_key_is_refused_or_not_found(self, store, key):
        assert repr(key) in failure(ObjectNotFound, store.get(key))
        error = ValueError if isinstance(key, str) else TypeError
        assert "`key` must " in failure(error, store.put(key, b""))
        if isinstance(key, str):
            assert asyncio.run(store.list(f"{key}/")) == []

    @pytest.mark.parametrize("data", ["text", 1, None, Path("path")])
    def test_only_bytes_are_put(self, store, data):
        assert failure(TypeError, store.put("a", data)).startswith("`data` must be bytes, got ")
        assert asyncio.run(store.list()) == []

    def test_images_go_through_a_pipeline(self, store, images):
        async def main():
            keys = await aml.write_objects(store, images)
            loaded = (
                aml.Pipeline(keys)
                .map(store.get, concurrency=8)
                .map(aml.decode_png, executor="inline")
                .batch(40, collate=np.stack)
            )
            return keys, await store.list("train/"), [batch async for batch in loaded]

        keys, listed, (batch,) = asyncio.run(main())
        assert keys == listed
        assert np.array_equal(batch, images.images)

    def test_a_missing_key_stops_a_pipeline_with_its_item(self, store):
        with pytest.raises(ObjectNotFound) as caught:
            list(aml.Pipeline(["missing"]).map(store.get))
        assert caught.value.__notes__ == ["in stage map(get), item 0: 'missing'"]

    def test_goes_to_other_processes(self, store):
        async def main():
            await fill(store, ["a"])
            return await pickle.loads(pickle.dumps(store)).get("a")

        assert asyncio.run(main()) == b"a"

    def test_cancelled_it_leaves_nothing_and_goes_on(self, store):
        async def main():
            await fill(store, ["a"])
            for operation in (lambda: store.get("a"), store.list, lambda: store.put("a", b"a")):
                for rounds in range(4):
                    task = asyncio.ensure_future(operation())
                    for _ in range(rounds):
                        await asyncio.sleep(0)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
            return await store.get("a"), await store.list()

        assert asyncio.run(main()) == (b"a", ["a"])

    @pytest.mark.parametrize("turn", range(0, 40, 3))
    def test_a_pipeline_cancelled_in_any_turn_of_the_loop_lets_go_of_all(
        self, store, turn, tmp_path
    ):
        async def main():
            await fill(store)
            loaded = aml.Pipeline(KEYS * 2).map(store.get, concurrency=4).map(len).batch(3)
            task = asyncio.ensure_future(collect(loaded))
            for _ in range(turn):
                await asyncio.sleep(0.0001)
            task.cancel()
            await asyncio.wait([task])
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return await store.list()

        assert asyncio.run(main()) == sorted(KEYS)
        deadline = time.monotonic() + 10
        while open_files(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert not open_files(tmp_path)


class TestFolder:
    def test_is_an_ordinary_one(self, tmp_path):
        store = ObjectStore(tmp_path.as_uri())
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "y.txt").write_bytes(b"y")
        asyncio.run(store.put("é/1 2%", b"12"))
        assert asyncio.run(store.list()) == ["x/y.txt", "é/1 2%"]
        assert asyncio.run(store.get("x/y.txt")) == b"y"
        assert (tmp_path / "é" / "1 2%").read_bytes() == b"12"

    def test_lists_all_of_many(self, tmp_path):
        keys = [f"{i:04}" for i in range(1010)]
        for key in keys:
            (tmp_path / key).touch()
        assert asyncio.run(ObjectStore(tmp_path.as_uri()).list()) == keys

    def test_a_missing_one_is_named_or_made(self, tmp_path):
        url = (tmp_path / "new").as_uri()
        with pytest.raises(FileNotFoundError) as caught:
            ObjectStore(url)
        assert str(caught.value) == f"no folder is at {url}; create it, or pass mkdir=True"
        assert asyncio.run(ObjectStore(url, mkdir=True).list()) == []

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError, match="is a file; name the folder"):
            ObjectStore((tmp_path / "file").as_uri())

    def test_no_object_lies_below_another(self, tmp_path):
        store = ObjectStore(tmp_path.as_uri())
        asyncio.run(fill(store, ["a", "b/c"]))
        for key in ("a/b", "b")[: 1 + (sys.platform != "win32")]:  # which may not open a folder
            assert failure(ObjectNotFound, store.get(key)).startswith(f"no object {key!r} in file:")
        with pytest.raises(OSError, match=r"put 'a/b' in file:.* failed: "):
            asyncio.run(store.put("a/b", b""))


class TestWebServer:
    def test_reads_objects(self, web):
        store = ObjectStore(f"{web}/a folder/")
        assert asyncio.run(store.get("é 1%.png")) == "/a folder/é 1%.png".encode()

    @pytest.mark.parametrize("status", [404, 410])
    def test_what_is_not_there_is_no_object(self, web, status):
        store = ObjectStore(web)
        assert failure(ObjectNotFound, store.get(f"x/{status}")).startswith(
            f"no object 'x/{status}' in {web}"
        )

    @pytest.mark.parametrize(
        ("key", "reason"),
        [
            ("500", "the server answered 500 Internal Server Error"),
            ("503", "the server answered 503 Service Unavailable"),
            ("429", "the server answered 429 Too Many Requests"),
            ("cut", "the connection ended in the middle of the answer"),
            ("hang-up", "the connection ended before the answer"),
            ("slow", "no answer in time"),
            ("stall", "no answer in time"),
        ],
    )
    def test_a_request_that_is_lost_says_why(self, web, key, reason):
        store = ObjectStore(web, timeout="300ms" if key in ("slow", "stall") else "30s")
        before = Handler.requests[f"/{key}"]
        assert failure(RequestFailed, store.get(key)) == (
            f"get '{key}' in {web} failed: {reason}; ask again, e.g. map(..., retries=3)"
        )
        assert Handler.requests[f"/{key}"] == before + 1

    def test_what_would_fail_again_does_not_say_to_ask_again(self, web):
        assert failure(RequestFailed, ObjectStore(web).get("400")) == (
            f"get '400' in {web} failed: the server answered 400 Bad Request"
        )

    def test_a_refused_connection(self):
        url = f"http://127.0.0.1:{unused_port()}"
        s3 = bucket(url)
        for store in (ObjectStore(url), s3):
            for coroutine in (store.get("a"), store.put("a", b"")):
                message = failure(RequestFailed, coroutine)
                assert "failed: the connection was refused; ask again" in message
        assert "the connection was refused" in failure(RequestFailed, s3.list())

    def test_a_pipeline_asks_again(self, web):
        keys = ["again/busy-2", "again/x", "again/busy-1"]
        loaded = aml.Pipeline(keys).map(ObjectStore(web).get, retries=2)
        assert list(loaded) == [f"/{key}".encode() for key in keys]
        assert [Handler.requests[f"/{key}"] for key in keys] == [3, 1, 2]

    def test_obstore_asks_again_where_it_is_told_to(self, web):
        store = ObjectStore(web, retry_config={"max_retries": 1})
        assert asyncio.run(store.get("told/busy-1")) == b"/told/busy-1"

    @pytest.mark.parametrize("status", [401, 403])
    def test_what_may_not_be_read(self, web, status):
        message = failure(PermissionError, ObjectStore(web).get(str(status)))
        assert f"failed: the server answered {status} " in message
        assert "; correct the credentials" in message

    def test_it_cannot_list(self, web):
        assert failure(NotImplementedError, ObjectStore(web).list("x/")) == (
            f"a web server such as {web} cannot list; "
            "keep the list of the keys in an object, or in the program"
        )

    def test_it_takes_no_objects(self, web):
        assert failure(NotImplementedError, ObjectStore(web).put("a", b"1")) == (
            f"put 'a' in {web} failed: this server takes no objects (the server answered 405 "
            "Method Not Allowed); write to where its files come from"
        )
        assert "503" in failure(RequestFailed, ObjectStore(web).put("503", b"1"))

    def test_cancelled_the_request_is_called_off(self, web):
        async def main():
            Handler.waiting.clear()
            Handler.called_off.clear()
            task = asyncio.ensure_future(ObjectStore(web).get("off/slow"))
            assert await asyncio.to_thread(Handler.waiting.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(Handler.called_off.wait, 5)

        assert asyncio.run(main())

    def test_leaving_a_pipeline_early_calls_off_what_is_in_flight(self, web):
        keys = ["left/first", *(f"left/{i}/slow" for i in range(4))]

        async def main():
            loaded = aiter(aml.Pipeline(keys).map(ObjectStore(web).get, concurrency=4))
            first = await anext(loaded)
            await loaded.aclose()
            return first

        assert asyncio.run(main()) == b"/left/first"

    def test_an_unencrypted_connection_can_be_forbidden(self, web):
        message = failure(ValueError, ObjectStore(web, allow_http=False).get("a"))
        assert message.endswith("this connection is not encrypted; allow it: allow_http=True")

    def test_a_password_is_not_shown(self, web):
        url = web.replace("//", "//me:secret@") + "/x?token=secret"
        store = ObjectStore(url)
        assert repr(store) == f"ObjectStore('{web}/x')"


class TestBucket:
    def test_one_that_is_not_there(self, s3):
        store = bucket(s3, "s3://nowhere/x")
        for coroutine in (store.get("a"), store.put("a", b""), store.list("a")):
            message = failure(FileNotFoundError, coroutine)
            assert re.match(r"\w+ 'a' in s3://nowhere/x failed: there is no such bucket;", message)

    def test_without_a_signature_nothing_private_is_read(self, s3):
        asyncio.run(bucket(s3).put("private", b"1"))
        message = failure(PermissionError, bucket(s3, skip_signature=True).get("private"))
        assert "the server answered 403 Forbidden; correct the credentials, or" in message

    def test_without_credentials_it_says_which(self):
        nowhere = f"http://127.0.0.1:{unused_port()}"
        store = ObjectStore("s3://bucket", metadata_endpoint=nowhere)
        for coroutine in (store.get("a"), store.put("a", b""), store.list("a")):
            message = failure(PermissionError, coroutine)
            assert "failed: no credentials were found; set " in message
            assert "AWS_ACCESS_KEY_ID" in message

    def test_credentials_come_from_the_environment(self, s3, monkeypatch):
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
            monkeypatch.setenv(f"AWS_{name}", "eu-west-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
        store = ObjectStore("s3://bucket", allow_http=True)
        asyncio.run(store.put("from environment", b"1"))
        assert asyncio.run(store.list("from")) == ["from environment"]

    def test_one_behind_https_is_no_web_server(self):
        nowhere = f"http://127.0.0.1:{unused_port()}"
        url = "https://bucket.s3.eu-west-1.amazonaws.com/x"
        store = ObjectStore(url, metadata_endpoint=nowhere)
        assert "no credentials were found" in failure(PermissionError, store.list())

    def test_an_unencrypted_endpoint_of_the_environment_is_not_taken_unasked(self, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1")
        store = ObjectStore("s3://bucket", access_key_id="a", secret_access_key="b")
        assert "allow_http=True" in failure(ValueError, store.get("a"))


class TestKeysOfOtherPrograms:
    def test_marks_of_folders_are_left_out(self, s3, foreign):
        url, put = foreign
        for mark in ("train/", "train/sub/", "alone/", "z/"):
            put(mark)
        for key in ("train/a", "train/empty", "test", "zz"):
            put(key, b"" if "empty" in key else b"1")
        store = bucket(s3, url)
        keys = asyncio.run(store.list())
        assert keys == ["test", "train/a", "train/empty", "zz"]
        assert [len(asyncio.run(store.get(key))) for key in keys] == [1, 1, 0, 1]
        for prefix in ("t", "train/", "train/e", "train/sub/", "alone", "z", "nothing/"):
            assert asyncio.run(store.list(prefix)) == [k for k in keys if k.startswith(prefix)]
        below = bucket(s3, f"{url}/train")
        assert asyncio.run(below.list()) == ["a", "empty"]
        assert asyncio.run(bucket(s3, f"{url}/alone/").list()) == []

    def test_a_mark_hides_no_object_of_its_name(self, s3, foreign):
        url, put = foreign
        for key in ("a", "a/", "a/b", "/lead", "lead"):
            put(key)
        assert asyncio.run(bucket(s3, url).list()) == ["a", "a/b", "lead"]

    @pytest.mark.parametrize("leading", [["/lead"], ["/a", "/lead/b", "/z"], ["/1", "/lead/"]])
    @pytest.mark.parametrize("others", [[], ["0", "b", "zz"]])
    def test_keys_that_begin_with_a_slash_are_left_out(self, s3, foreign, leading, others):
        url, put = foreign
        for key in (*leading, *others):
            put(key, b"1")
        store = bucket(s3, url)
        assert asyncio.run(store.list()) == others
        assert asyncio.run(store.list("le")) == []

    def test_many_marks_are_told_from_many_empty_objects(self, s3, foreign):
        url, put = foreign
        for i in range(40):
            put(f"{i:02}" + "/" * (i % 2))
        assert asyncio.run(bucket(s3, url).list()) == [f"{i:02}" for i in range(0, 40, 2)]

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            *((key, "a part between slashes that is empty") for key in ("x/a//b", "x/a//", "x//")),
            *((key, "a part between slashes that is empty") for key in ("x/../a", "x/./a", "x/.")),
            *((key, "a control character") for key in ("x/tab\t", "x/\x7f/a")),
        ],
    )
    def test_one_that_can_be_no_key_is_named(self, s3, foreign, key, fault):
        url, put = foreign
        put("ok/1", b"1")
        put(key, b"1")
        store = bucket(s3, url)
        for prefix in ("", "o", "x/"):
            message = failure(ValueError, store.list(prefix))
            assert message.startswith(
                f"list {prefix!r} in {url} failed: the key {key!r} has {fault}"
            )
            assert message.endswith(
                ", which no key of a store has; rename that object, or list a folder without it"
            )
        assert asyncio.run(store.list("ok/")) == ["ok/1"]

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
    @pytest.mark.parametrize("name", ["tab\t", "é\x7f"])
    def test_one_in_a_folder_is_named(self, tmp_path, name):
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / name).touch()
        (tmp_path / "empty").touch()
        message = failure(ValueError, ObjectStore(tmp_path.as_uri()).list())
        assert f"the key {'x/' + name!r} has a control character" in message

    @pytest.mark.parametrize(
        ("status", "keys"), [(200, ["empty"]), (403, ["empty"]), (401, ["empty"]), (404, [])]
    )
    def test_what_may_not_be_read_is_listed_all_the_same(self, status, keys):
        with serving(bucket_of_an_empty_object(status)) as address:
            assert asyncio.run(bucket(address).list()) == keys

    def test_a_lost_request_ends_the_listing(self):
        with serving(bucket_of_an_empty_object(503)) as address:
            message = failure(RequestFailed, bucket(address).list())
        assert message.startswith("list '' in s3://bucket failed: the server answered 503 ")


class TestTheEndOfAProgram:
    def test_is_no_crash(self, tmp_path):
        (tmp_path / "a").write_bytes(b"1")
        programs = [END.format(program=program) for program in PROGRAMS]
        if hasattr(os, "fork"):
            ends = dict(zip(PROGRAMS, self.run(COPIES, tmp_path, *programs), strict=False))
            assert ends == dict.fromkeys(PROGRAMS, "[0, 0, 0, 0]")
        else:
            for program in programs * 4:
                assert self.run("exec(sys.argv[2])", tmp_path, program) == []

    @staticmethod
    def run(source, folder, *programs):
        command = [sys.executable, "-c", IMPORTS + source, folder.as_uri(), *programs]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert (done.stderr, done.returncode) == ("", 0), done.stdout
        return done.stdout.splitlines()


class TestVirtualTime:
    def test_is_refused_at_once(self, tmp_path):
        store = ObjectStore(tmp_path.as_uri())
        slow = SlowStore(store, latency_s=1)
        for call in (
            *(lambda: store.get("a"), lambda: store.put("a", b""), store.list),
            *(lambda: store.get(""), lambda: slow.get("a"), slow.list),
        ):
            with pytest.raises(RuntimeError) as caught:
                aml.simulate(call())
            assert str(caught.value) == (
                "an ObjectStore answers from threads that virtual time cannot see: in `simulate` "
                "use SlowStore(MemoryStore(...)), or run this in real time, with asyncio.run or "
                "await"
            )
        assert list(tmp_path.iterdir()) == []


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "error", "message"),
        [
            ("ftp://host/x", ValueError, "`url` must begin with file:///, https://, http://, s3:/"),
            ("/a/folder", ValueError, r"got '/a/folder'; a folder's is Path\(...\).resolve\(\).as"),
            ("C:\\folder", ValueError, "`url` must begin with"),
            ("S3://bucket", ValueError, "`url` must begin with"),
            ("memory:///", ValueError, "`url` must begin with"),
            ("", ValueError, "got ''"),
            ("s3:bucket", ValueError, "`url` must begin with"),
            (Path("x"), TypeError, r"a str: Path\(...\).resolve\(\).as_uri\(\), got \w*Path"),
            (None, TypeError, "`url` must be a str, got NoneType"),
            ("s3://", ValueError, "`url` must be a valid URL, got s3://: "),
            (
                "s3://a bad bucket/",
                ValueError,
                "`url` must be a valid URL, got s3://a bad bucket/: ",
            ),
            ("file://host/x", ValueError, "`url` must be a valid URL, got file://host/x: "),
            ("az://container/x", ValueError, "Account must be specified"),
        ],
    )
    def test_bad_ones_are_refused(self, url, error, message):
        with pytest.raises(error, match=message):
            ObjectStore(url)

    @pytest.mark.parametrize(
        ("url", "options"),
        [
            ("s3://b", {"nonsense": 1}),
            ("gs://b", {"nonsense": "x"}),
            ("https://host", {"region": "x"}),
            ("s3://b", {"client_options": {"tineout": "1s"}}),
            ("s3://b", {"timeout": 5}),
        ],
    )
    def test_bad_options_are_refused(self, url, options):
        with pytest.raises(TypeError, match=f"an option of {url} is wrong: "):
            ObjectStore(url, **options)

    @pytest.mark.parametrize(
        ("url", "options"),
        [
            ("gs://bucket/x", {"skip_signature": True}),
            ("az://container/x", {"account_name": "me", "timeout": "5s"}),
            ("abfss://container@me.dfs.core.windows.net/x", {}),
            ("https://host/x", {"connect_timeout": "1s", "client_options": {"timeout": "9s"}}),
            ("s3://bucket", {"proxy_url": "http://127.0.0.1:1", "retry_config": None}),
        ],
    )
    def test_good_ones_are_not_asked_before_they_are_needed(self, url, options):
        assert repr(ObjectStore(url, **options)) == f"ObjectStore({url!r})"


def test_without_obstore_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args):
        if name.startswith("obstore"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r'obstore: pip install "asyncml\[stores\]"'):
        ObjectStore("s3://bucket")


def test_signature_of_the_contract():
    assert str(inspect.signature(ObjectStore)) == "(url: str, **options: Any) -> None"
    assert aml.ObjectStore is ObjectStore
