"""Objects in a folder, on a web server, or in a bucket of S3, Google Cloud or Azure, by their URL.

A program that works with a folder on a laptop works with a bucket, too: only the URL changes.
obstore makes the requests, in its own threads; this file adapts its keys, bytes and errors to those
of the other stores. Lesson 07 loads from it.
"""

import asyncio
import atexit
import re
import time
import weakref
from typing import Any, Final, TypeAlias

from asyncml.clocks import is_virtual
from asyncml.failures import shorten
from asyncml.stores.memory import Keys, ObjectNotFound, RequestFailed, StoredObject, check_data

_SCHEMES: Final = (
    *("file", "https", "http", "s3", "s3a", "gs"),
    *("az", "azure", "adl", "abfs", "abfss"),
)
# The `client_options` of obstore, which panics if some of these are passed as other options.
_CLIENT_OPTIONS: Final = frozenset(
    (
        *("allow_http", "allow_invalid_certificates", "connect_timeout", "default_content_type"),
        *("default_headers", "http1_only", "http2_keep_alive_interval", "http2_keep_alive_timeout"),
        *("http2_keep_alive_while_idle", "http2_only", "pool_idle_timeout"),
        *("pool_max_idle_per_host", "proxy_ca_certificate", "proxy_excludes", "proxy_url"),
        *("randomize_addresses", "read_timeout", "root_certificate", "timeout", "user_agent"),
    )
)
_CREDENTIALS: Final = (
    "set the variables of the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ...), "
    "or pass them as options (access_key_id=..., secret_access_key=...); "
    "what everyone may read needs skip_signature=True"
)
# text in obstore's message about a lost request -> its meaning; the first match counts
_CAUSES: Final = (
    ("ConnectionRefused", "the connection was refused"),
    ("dns error", "no host has this name"),
    ("TimedOut", "no answer in time"),
    ("kind: Connect", "no connection was made"),
    ("response body error", "the connection ended in the middle of the answer"),
    ("error sending request", "the connection ended before the answer"),
)
_Metas: TypeAlias = list[Any]  # inside the class below, `list` is a method
_EXIT_S: Final = 1.0  # the longest that the program waits for obstore's threads at exit
_asked: weakref.WeakSet[Any] = weakref.WeakSet()  # obstore's futures, also held by its threads


class ObjectStore:
    """A folder, a web server or a bucket as a store, given its URL; needs obstore.

    Each request is made once: obstore's own retries are off, so that failures are visible to the
    program, and `Pipeline.map(store.get, retries=3)` asks again. A request may take 30 s, including
    its answer, and connecting may take 5 s; the options `timeout` and `connect_timeout` change
    that.

    obstore answers from its own threads, which virtual time cannot see. Under `simulate` each
    method therefore raises RuntimeError; use a `SlowStore` over a `MemoryStore` there.

    The parts of a key are separated by slashes. None of them may be empty, "." or "..", or contain
    a control character.

    At exit the program waits until obstore's threads have finished. That takes about a millisecond,
    or at most a second if a loop was left open with requests in flight.

    Args:
        url: where the objects are: `file:///folder` (`Path("folder").resolve().as_uri()`),
            `https://host/path`, `s3://bucket/prefix`, `gs://bucket/prefix`,
            `az://container/prefix`. Keys are relative to it.
        options: obstore's options for that kind of store, such as `region`, `endpoint`,
            `skip_signature`, or `mkdir=True` for a folder that may be missing; its options for any
            connection, such as `timeout="5s"`; or `retry_config={"max_retries": 3}`, which makes
            obstore retry. Unencrypted connections are allowed if the URL or the `endpoint` starts
            with `http:`, or with `allow_http=True`.

    Attributes:
        url: where the objects are, without a password or a query.

    Raises:
        ModuleNotFoundError: obstore is not installed.
        FileNotFoundError, NotADirectoryError: there is no folder at the URL, or it is a file.
        ValueError: the URL is invalid.
        TypeError: `url` is not a str, or an option is unknown.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = ObjectStore(pathlib.Path(folder).as_uri())
        ...     asyncio.run(store.put("a/1", b"one"))
        ...     asyncio.run(store.list("a/")), asyncio.run(store.get("a/1"))
        (['a/1'], b'one')
    """

    def __init__(self, url: str, **options: Any) -> None:
        _check_url(url)
        if url.startswith("http"):
            url = url.rstrip("/")  # obstore would double it
        self.url = re.sub(r"//[^/@]*:[^/@]*@", "//", url).partition("?")[0]
        self._store = _open(url, self.url, options)
        self._web = type(self._store).__name__ == "HTTPStore"  # False for https: URLs of buckets

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    async def get(self, key: str) -> bytes:
        """Return the object under `key`.

        If this is cancelled, the request is abandoned and its connection closed.

        Args:
            key: the path of the object below the URL, its parts separated by slashes.

        Raises:
            ObjectNotFound: there is none.
            RequestFailed: the request or its answer was lost or refused; the message says why.
            FileNotFoundError: there is no such bucket.
            PermissionError: the credentials are missing, or do not allow this.
            OSError: the file cannot be read.
            RuntimeError: called in virtual time.
        """
        import obstore

        _check_time()
        if fault := _fault(key):
            name = repr(key) if type(key) is str else shorten(key)
            raise ObjectNotFound(f"no object {name} in {self.url}: no key has {fault}")
        try:
            answer = await _watched(obstore.get_async(self._store, key))
            return StoredObject(await _watched(answer.bytes_async()), key=key)
        except Exception as error:
            raise self._failure("get", key, error) from error

    async def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, replacing what was there, in one request.

        If this is cancelled, the store holds either the old object or the new one, complete.

        Args:
            key: the path of the object below the URL, its parts separated by slashes.
            data: the bytes; a bytearray or memoryview is copied at once.

        Raises:
            ValueError: `key` is not a valid key.
            TypeError: `key` is not a str, or `data` is not bytes.
            NotImplementedError: the web server does not accept objects.
            Exception: whatever `get` raises, except `ObjectNotFound`.
        """
        import obstore

        _check_time()
        if not isinstance(key, str):
            raise TypeError(f"`key` must be a str, got {type(key).__name__}")
        if fault := _fault(key):
            raise ValueError(f"`key` must not have {fault}, got {key!r}")
        data = check_data(key, data)
        try:
            await _watched(obstore.put_async(self._store, key, bytes(data), use_multipart=False))
        except Exception as error:
            raise self._failure("put", key, error) from error

    async def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with `prefix`, sorted.

        The store is asked for everything under `prefix` up to its last slash; the rest of `prefix`
        is matched here.

        Other programs may have put objects into a bucket whose keys begin or end with a slash, such
        as `train/`, which marks a folder. These are not valid keys here, and are left out. To tell
        `train/` from `train`, a second request is made for each empty object, and for the first key
        if the URL is that of a whole bucket. A non-empty object whose key ends with a slash cannot
        be detected: it is listed without the slash, and `get` does not find it.

        Args:
            prefix: the start of the keys; `""` for all of them.

        Raises:
            ValueError: an object has a key that is not valid here, such as `a//b`; the message
                names it.
            NotImplementedError: this is a web server, which cannot list.
            Exception: whatever `get` raises, except `ObjectNotFound`.
        """
        _check_time()
        if self._web:
            mend = "keep the list of the keys in an object, or in the program"
            raise NotImplementedError(f"a web server such as {self.url} cannot list; {mend}")
        folder = prefix.rpartition("/")[0]
        if folder and _fault(folder):
            return []
        try:
            found = await _watched(self._store.list(folder or None).collect_async())
            metas = [meta for meta in found if meta["path"].startswith(prefix)]
            foreign = await self._foreign(metas, is_root=not folder)
        except Exception as error:
            raise self._failure("list", prefix, error) from error
        return sorted({meta["path"] for meta in metas} - foreign)

    async def _foreign(self, metas: _Metas, is_root: bool) -> set[str]:
        """Return the paths of listed objects whose keys have lost a slash in obstore."""
        foreign = {""}  # the marker of this folder itself
        if self.url.startswith("file:"):
            return foreign
        if is_root and not getattr(self._store, "prefix", None):
            # buckets list in order, so keys that begin with a slash come first
            for path in (meta["path"] for meta in metas if meta["path"] > "/"):
                if await self._has(path):
                    break
                foreign.add(path)
        empty = sorted({meta["path"] for meta in metas if not meta["size"]} - foreign)
        for start in range(0, len(empty), 16):
            part = empty[start : start + 16]
            answers = await asyncio.gather(*map(self._has, part), return_exceptions=True)
            for path, answer in zip(part, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                if not answer:
                    foreign.add(path)
        return foreign

    async def _has(self, key: str) -> bool:
        """Return whether an object has exactly this key, as far as the bucket tells."""
        import obstore
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        try:
            await _watched(obstore.head_async(self._store, key))
        except FileNotFoundError:
            return False
        except (PermissionDeniedError, UnauthenticatedError):  # it may be listed but not read
            return True
        return True

    def _failure(self, operation: str, key: str, error: Exception) -> Exception:
        """Return the error to raise in place of one of obstore's."""
        text = str(error)
        what = f"{operation} {key!r} in {self.url} failed: "
        reason, again = _reason(text)
        if re.search("<Code>(NoSuchBucket|ContainerNotFound)", text):
            mend = "create it, or correct its name, the region or the endpoint"
            return FileNotFoundError(f"{what}there is no such bucket; {mend}")
        if found := re.search(r'Path "(.*?)"(?: contained empty|: Encountered)', text, re.DOTALL):
            alien = found[1].removeprefix("/" * self.url.startswith("file:"))
            wrong = f"the key {alien!r} has {_fault(alien)}, which no key of a store has"
            return ValueError(f"{what}{wrong}; rename that object, or list a folder without it")
        gone = re.search("kind: NotADirectory|status code: 410", text)
        if operation == "get" and (gone or isinstance(error, FileNotFoundError)):
            return ObjectNotFound(f"no object {key!r} in {self.url}")
        if re.search(r"/latest/api/token|/latest/meta-data|token request", text):
            return PermissionError(f"{what}no credentials were found; {_CREDENTIALS}")
        if re.search(r"status code: 40[13]", text):
            return PermissionError(f"{what}{reason}; correct the credentials, or {_CREDENTIALS}")
        if "BadScheme" in text:
            return ValueError(f"{what}this connection is not encrypted; allow it: allow_http=True")
        if self._web and operation == "put" and not again:
            mend = "write to where its files come from"
            return NotImplementedError(f"{what}this server takes no objects ({reason}); {mend}")
        if self.url.startswith("file:"):
            return OSError(what + reason)
        return RequestFailed(what + reason + "; ask again, e.g. map(..., retries=3)" * again)


def _watched(future: Any) -> Any:
    """Return a future of obstore's after recording it, so that exit can wait for it.

    It must come directly from one of obstore's functions: its methods are coroutines around them.
    """
    _asked.add(future)
    return future


@atexit.register
def _let_threads_finish() -> None:
    """Wait until obstore's threads have released all futures; only then may Python exit.

    A thread that delivers an answer wakes the event loop first, and then takes the GIL once more to
    clean up. If the program has ended in between, CPython before 3.14 ends the thread by force,
    which Rust does not allow, and the process aborts:
    github.com/PyO3/pyo3-async-runtimes/issues/40.
    """
    deadline = time.monotonic() + _EXIT_S
    while len(_asked) and time.monotonic() < deadline:
        import obstore

        obstore.parse_scheme("file:///")  # any call drops what the threads have released
        time.sleep(0.0005)


def _check_url(url: str) -> None:
    if not isinstance(url, str):
        hint = ": Path(...).resolve().as_uri()" if hasattr(url, "as_uri") else ""
        raise TypeError(f"`url` must be a str{hint}, got {type(url).__name__}")
    scheme, colon, _ = url.partition("://")
    if not colon or scheme not in _SCHEMES:
        raise ValueError(
            "`url` must begin with file:///, https://, http://, s3://, gs:// or az://, "
            f"got {url!r}; a folder's is Path(...).resolve().as_uri()"
        )


def _open(url: str, shown: str, options: dict[str, Any]) -> Any:
    """Return obstore's store: no retries, and plain HTTP only if the caller wrote `http:`."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ModuleNotFoundError:
        mend = 'ObjectStore needs obstore: pip install "asyncml[stores]"'
        raise ModuleNotFoundError(mend, name="obstore") from None
    client = {name: options.pop(name) for name in _CLIENT_OPTIONS & set(options)}
    client |= options.pop("client_options", None) or {}
    if any(str(place).startswith("http:") for place in (url, options.get("endpoint"))):
        client.setdefault("allow_http", True)
    options.setdefault("retry_config", {"max_retries": 0})
    try:
        open_url: Any = from_url  # typed separately for each kind of store
        store = open_url(url, client_options=client, **options)
    except (BaseError, ValueError, TypeError) as error:
        raise _refusal(shown, error) from error
    folder = getattr(store, "prefix", None) if url.startswith("file:") else None
    if folder and not folder.is_dir():
        raise NotADirectoryError(f"{shown} is a file; name the folder that it is in")
    return store


def _refusal(url: str, error: Exception) -> Exception:
    text = str(error)
    if "UnableToCanonicalize" in text:
        return FileNotFoundError(f"no folder is at {url}; create it, or pass mkdir=True")
    line = text.partition("\n")[0]
    if re.search("onfiguration|nvalid key", line) or isinstance(error, TypeError):
        return TypeError(f"an option of {url} is wrong: {line}")
    return ValueError(f"`url` must be a valid URL, got {url}: {line}")


def _check_time() -> None:
    if is_virtual(asyncio.get_running_loop()):
        raise RuntimeError(
            "an ObjectStore answers from threads that virtual time cannot see: in `simulate` use "
            "SlowStore(MemoryStore(...)), or run this in real time, with asyncio.run or await"
        )


def _fault(key: str) -> str:
    """Return why `key` is not valid, or "": obstore would refuse or change it."""
    if not isinstance(key, str):
        return f"the type {type(key).__name__}"
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        return 'a part between slashes that is empty, "." or ".."'
    return "a control character" if re.search("[\x00-\x1f\x7f\ud800-\udfff]", key) else ""


def _reason(text: str) -> tuple[str, bool]:
    """Return why a request failed, in a few words, and whether a retry may succeed."""
    if found := re.search(r"status code: ((\d+)[\w -]*)", text):
        code = re.search(r"<Code>(\w+)</Code>", text)
        seen = f"the server answered {found[1].strip()}" + (f", {code[1]}" if code else "")
        return seen, found[2] in ("408", "429") or (found[2] > "499" and found[2] != "501")
    for sign, words in _CAUSES:
        if sign in text:
            return words, True
    return re.sub(r" in [\d.]+[nµm]?s\b", "", text.partition("\n")[0]), False
