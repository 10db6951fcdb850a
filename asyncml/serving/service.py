"""The web server's side of a batcher: what each route of the Open Inference Protocol does.

Under overload, a request for which there is no room is refused at once, if possible before its body
has been read, with a 503 that says when to try again. Lesson 10 serves a network with it.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asyncml.checks import check_int, check_number
from asyncml.failures import shorten
from asyncml.serving import protocol
from asyncml.serving.batcher import HeavyRow, MicroBatcher, QueueFull
from asyncml.serving.metrics import exposition
from asyncml.serving.openapi import document
from asyncml.serving.protocol import BadRequest, Tensor

_log = logging.getLogger("asyncml.serving")
# bodies larger than this, in bytes, are read and written in a thread: 1 MB of JSON takes 10 ms
_LARGE = 65_536
# how many bodies of the largest size may be read at once
_BODIES = 8
_LATER, _CLOSE = {"Retry-After": "1"}, {"Connection": "close"}


class Service:
    """The routes of an application; `create_app` documents their behaviour and the arguments."""

    def __init__(
        self,
        batcher: MicroBatcher,
        name: str,
        example: npt.ArrayLike,
        max_body_bytes: int,
        body_timeout_s: float,
    ) -> None:
        if not isinstance(batcher, MicroBatcher):
            raise TypeError(f"`batcher` must be a MicroBatcher, got {shorten(batcher)}")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
            raise ValueError(f"`name` must be of letters, digits, -, _ and ., got {shorten(name)}")
        self._batcher, self._name = batcher, name
        self._example = np.array(example)
        self._input = Tensor(protocol.INPUT, self._example.dtype, self._example.shape)
        if not self._input.datatype:
            raise ValueError("`example` must be of numbers")
        self._output: Tensor | None = None
        self._most_bytes = check_int("max_body_bytes", max_body_bytes)
        rule = "a number of seconds > 0"
        self._body_timeout_s = check_number("body_timeout_s", body_timeout_s, rule)
        if not 0 < self._body_timeout_s < float("inf"):
            raise ValueError(f"`body_timeout_s` must be > 0 and finite, got {body_timeout_s}")
        self._held = 0  # bytes of the bodies that are being read

    def app(self) -> Starlette:
        """Return the application."""
        model = f"/v2/models/{self._name}"
        gets: dict[str, Callable[[], dict[str, Any]]] = {
            "/v2": _about,
            "/v2/health/live": lambda: {"live": True},
            "/v2/health/ready": lambda: {"ready": bool(self._ready())},
            model: self._metadata,
            f"{model}/ready": lambda: {"ready": bool(self._ready())},
            "/openapi.json": partial(document, self._name, self._input),
        }
        routes = [Route(path, _telling(what), methods=["GET"]) for path, what in gets.items()]
        routes.append(Route("/metrics", self.metrics, methods=["GET"]))
        routes.append(Route(f"{model}/infer", self.infer, methods=["POST"]))
        handlers: Any = {HTTPException: _refused, BadRequest: _bad, HeavyRow: _bad}
        handlers[QueueFull] = _full
        return Starlette(routes=routes, lifespan=self.lifespan, exception_handlers=handlers)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Run the batcher, and be ready, while the server runs."""
        async with self._batcher as batcher:
            row = np.asarray(await batcher(self._example))
            output = Tensor(protocol.OUTPUT, row.dtype, row.shape)
            if output.datatype:  # this raises if the model does not return numbers
                self._output = output
            try:
                yield
            finally:
                self._output = None

    def _ready(self) -> Tensor:
        if self._output is None:
            raise HTTPException(503, "the server is starting, or shutting down", _LATER)
        return self._output

    def _metadata(self) -> dict[str, Any]:
        tensors = {"inputs": [self._input.metadata()], "outputs": [self._ready().metadata()]}
        return {"name": self._name, "versions": [], "platform": "asyncml", **tensors}

    async def metrics(self, request: Request) -> Response:
        """Return the statistics in the format of Prometheus."""
        body, kind = exposition(self._batcher.statistics(), self._name)
        return Response(body, media_type=kind)

    async def infer(self, request: Request) -> Response:
        """Answer an inference request."""
        output, body = self._ready(), bytearray()
        self._batcher.check_room()
        try:
            await self._read(request, body)
            length = request.headers.get(protocol.LENGTH_HEADER)
            read = partial(protocol.read, body, length, self._input, self._batcher.max_pending)
            wanted = await asyncio.to_thread(read) if len(body) > _LARGE else read()
        finally:
            self._held -= len(body)
        del read, body
        self._ready()
        with _failures_of_the_model():
            answer = self._batcher.try_submit_many(wanted.rows)
            rows = await self._answered(request, answer, wanted.timeout_s)
            rows = _checked(rows, (len(wanted.rows), *output.shape), output.dtype)
        write = partial(protocol.write, rows, output, self._name, wanted)
        text, head = await asyncio.to_thread(write) if rows.nbytes > _LARGE else write()
        if head is None:
            return Response(text, media_type="application/json")
        headers = {protocol.LENGTH_HEADER: str(head)}
        return Response(text, headers=headers, media_type="application/octet-stream")

    async def _read(self, request: Request, body: bytearray) -> None:
        """Read the body, if it is acceptable and arrives in time."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "a compressed body is not accepted: send it uncompressed")
        too_long = HTTPException(413, f"a body may have {self._most_bytes} bytes", _CLOSE)
        with contextlib.suppress(ValueError):  # the server refuses a length that is not a number
            if int(request.headers.get("content-length", 0)) > self._most_bytes:
                raise too_long
        try:
            async with asyncio.timeout(self._body_timeout_s):
                async for chunk in request.stream():
                    self._held += len(chunk)
                    body += chunk
                    if len(body) > self._most_bytes:
                        raise too_long
                    if self._held > _BODIES * self._most_bytes:
                        raise HTTPException(503, "too many bodies at once", _LATER | _CLOSE)
        except TimeoutError:
            late = f"the body did not come within {self._body_timeout_s:g} s"
            raise HTTPException(408, late, _CLOSE) from None
        except ClientDisconnect:
            raise HTTPException(400, "the client has gone") from None

    async def _answered(
        self, request: Request, answer: "asyncio.Future[Any]", timeout_s: float | None
    ) -> Any:
        """Return the model's output, unless the client disconnects or its deadline passes first."""
        gone = asyncio.ensure_future(_disconnect(request))
        try:
            await asyncio.wait(
                [answer, gone], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                return answer.result()
        finally:
            gone.cancel()
            answer.cancel()
        if gone.done() and not gone.cancelled():
            raise HTTPException(400, "the client has gone")
        raise HTTPException(503, "the deadline of the request was over before its turn came")


@contextlib.contextmanager
def _failures_of_the_model() -> Iterator[None]:
    """Hide an error that is neither the request's nor the queue's: log it and raise a 500."""
    try:
        yield
    except (HTTPException, QueueFull, HeavyRow):
        raise
    except Exception as error:
        _log.error("the model failed", exc_info=error)
        raise HTTPException(500, "the model failed on this request") from None


def _checked(rows: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the model's output as an array; raise if it differs from what the metadata say."""
    array = np.asarray(rows)
    if array.shape != shape or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(
            f"the model must return {dtype} of shape {shape}, as for the example, got "
            f"{array.dtype} of {array.shape}"
        )
    return array.astype(dtype, copy=False)


def _telling(what: Callable[[], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return JSONResponse(what())

    return answer


def _about() -> dict[str, Any]:
    return {"name": "asyncml", "version": version("asyncml"), "extensions": ["binary_tensor_data"]}


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, error: Any) -> Response:
    is_no_route = error.status_code in (404, 405)
    where = f"{request.method} {request.url.path}: " if is_no_route else ""
    return JSONResponse({"error": where + error.detail}, error.status_code, error.headers)


async def _bad(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _full(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503, _LATER)
