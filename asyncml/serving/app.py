"""A web server's side of a batcher: an ASGI application that speaks the Open Inference Protocol.

It stays polite when it is overloaded: a request for which there is no room is refused at once, with
a 503 that says when to try again. Lesson 10 serves a network with it.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_int, check_number
from asyncml.failures import shorten
from asyncml.serving import protocol
from asyncml.serving.batcher import MicroBatcher, QueueFull
from asyncml.serving.protocol import BadRequest, Tensor

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_log = logging.getLogger("asyncml.serving")
# what is larger than this, in bytes, is read and written in a thread: 1 MB of JSON takes 10 ms
_LARGE = 65_536
# how many bodies of the largest size are read at once, at most
_BODIES = 8


class _Refused(Exception):
    """A request is answered with an error.

    Args:
        status: of HTTP.
        message: what was wrong.
        headers: further ones of the response.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def create_app(
    batcher: MicroBatcher,
    name: str = "model",
    *,
    example: npt.ArrayLike,
    max_body_bytes: int = 16 * 2**20,
    body_timeout_s: float = 30.0,
) -> "Starlette":
    """Return an ASGI application that answers the Open Inference Protocol, version 2, over REST.

    When it starts it enters the batcher and asks the model for the answer to `example`; then it is
    ready. When the server shuts down, it answers what it has taken, and ends.

    ================================ =============================================================
    GET `/v2`                        the server: its name and version
    GET `/v2/health/live`            200 while the process runs
    GET `/v2/health/ready`           200 if it takes requests, otherwise 503
    GET `/v2/models/NAME`            the model: names, shapes and datatypes
    GET `/v2/models/NAME/ready`      as `/v2/health/ready`
    POST `/v2/models/NAME/infer`     the output for n rows, as JSON or binary; all rows or none
    GET `/metrics`                   statistics, for Prometheus
    GET `/openapi.json`              these routes, for programs
    ================================ =============================================================

    A bad request gets a 4xx that says what is wrong; a full queue, a 503 with `Retry-After`. If the
    client disconnects, or its `timeout` (a parameter of the request, in microseconds) runs out, its
    request is dropped. If the model fails, or returns what does not match its output for the
    example, the client gets a 500 without details, and the error is logged.

    Args:
        batcher: what answers; it must not be in use.
        name: the model's name, in the paths: letters, digits, `-`, `_` and `.`.
        example: one row (...); every request's rows must have its shape and dtype.
        max_body_bytes: the largest body of a request; a larger one gets a 413 before it is read.
            All the bodies being read at one time may have eight times as much; then more get a 503.
        body_timeout_s: how many seconds a client may take to send a body.

    Raises:
        ModuleNotFoundError: starlette or prometheus_client is not installed.
        TypeError, ValueError: an argument is out of its bounds.

    Example:
        >>> from asyncml.network import MLP
        >>> model = MLP([784, 10])
        >>> app = create_app(MicroBatcher(model.forward), example=np.zeros(784, np.float32))

        With that in `serve.py`: `uvicorn serve:app --port 8000`, and with `--workers 4` in several
        processes behind one port, each with a model and a batcher of its own.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route

        from asyncml.serving.metrics import exposition
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"create_app needs {error.name}: pip install 'asyncml[serving]'", name=error.name
        ) from error
    service = _Service(batcher, name, example, max_body_bytes, body_timeout_s)
    model = f"/v2/models/{name}"

    async def metrics(request: "Request") -> "Response":
        from starlette.responses import Response

        body, kind = exposition(batcher.statistics(), name)
        return Response(body, media_type=kind)

    gets = {
        "/v2": service.about,
        "/v2/health/live": service.live,
        "/v2/health/ready": service.ready,
        model: service.metadata,
        f"{model}/ready": service.ready,
        "/openapi.json": service.openapi,
    }
    routes = [Route(path, service.answering(call), methods=["GET"]) for path, call in gets.items()]
    routes.append(Route("/metrics", metrics, methods=["GET"]))
    infer = service.answering(service.infer)
    routes.append(Route(f"{model}/infer", infer, methods=["POST"]))
    app = Starlette(routes=routes, lifespan=service.lifespan)
    for status in (404, 405):
        app.add_exception_handler(status, _not_there)
    return app


async def _not_there(request: "Request", error: Any) -> "Response":
    return _json(error.status_code, {"error": f"{request.method} {request.url.path}: "
                                     f"{error.detail}"}, error.headers)  # fmt: skip


def _json(
    status: int, message: dict[str, Any], headers: "dict[str, str] | None" = None
) -> "Response":
    from starlette.responses import JSONResponse

    return JSONResponse(message, status, headers)


class _Service:
    """What the routes of an application do."""

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

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Be ready while the server runs."""
        async with self._batcher as batcher:
            row = np.asarray(await batcher(self._example))
            output = Tensor(protocol.OUTPUT, row.dtype, row.shape)
            if output.datatype:  # it raises where the model does not return numbers
                self._output = output
            try:
                yield
            finally:
                self._output = None

    def answering(
        self, call: "Callable[[Request], Awaitable[Response]]"
    ) -> "Callable[[Request], Awaitable[Response]]":
        """Wrap a route so that what it refuses becomes a response."""

        async def route(request: "Request") -> "Response":
            try:
                return await call(request)
            except _Refused as refused:
                return _json(refused.status, {"error": refused.message}, refused.headers)
            except BadRequest as wrong:
                return _json(400, {"error": str(wrong)})

        return route

    # what is asked about it

    async def about(self, request: "Request") -> "Response":
        """Say what server this is."""
        from importlib.metadata import version

        return _json(200, {"name": "asyncml", "version": version("asyncml"),
                           "extensions": ["binary_tensor_data"]})  # fmt: skip

    async def live(self, request: "Request") -> "Response":
        """Say that it lives."""
        return _json(200, {"live": True})

    async def ready(self, request: "Request") -> "Response":
        """Say whether it takes requests."""
        self._ready()
        return _json(200, {"ready": True})

    async def metadata(self, request: "Request") -> "Response":
        """Describe the model."""
        output = self._ready()
        tensors = {"inputs": [self._input.metadata()], "outputs": [output.metadata()]}
        return _json(200, {"name": self._name, "versions": [], "platform": "asyncml", **tensors})

    async def openapi(self, request: "Request") -> "Response":
        """Describe the routes."""
        from asyncml.serving.openapi import document

        return _json(200, document(self._name, self._input))

    def _ready(self) -> Tensor:
        if self._output is None:
            raise _Refused(503, "the server is starting, or shutting down", {"Retry-After": "1"})
        return self._output

    # inference

    async def infer(self, request: "Request") -> "Response":
        """Answer an inference request."""
        from starlette.responses import Response

        output, body = self._ready(), bytearray()
        try:
            await self._read(request, body)
            length = request.headers.get(protocol.LENGTH_HEADER)
            read = partial(protocol.read, body, length, self._input, self._batcher.max_pending)
            wanted = await asyncio.to_thread(read) if len(body) > _LARGE else read()
        finally:
            self._held -= len(body)
        del read, body
        rows = self._checked(await self._answer(request, wanted), len(wanted.rows), output)
        write = partial(protocol.write, rows, output, self._name, wanted)
        text, head = await asyncio.to_thread(write) if rows.nbytes > _LARGE else write()
        if head is None:
            return Response(text, media_type="application/json")
        headers = {protocol.LENGTH_HEADER: str(head)}
        return Response(text, headers=headers, media_type="application/octet-stream")

    def _checked(self, rows: Any, count: int, output: Tensor) -> Any:
        """Return the model's output as what the metadata say that it is."""
        try:
            array = np.asarray(rows)
            shape = count, *output.shape
            if array.shape != shape or not np.can_cast(array.dtype, output.dtype, "same_kind"):
                raise ValueError(
                    f"the model must return {output.dtype} of shape {shape}, as for the example, "
                    f"got {array.dtype} of {array.shape}"
                )
            return array.astype(output.dtype, copy=False)
        except Exception as error:
            raise _failed(error) from None

    async def _read(self, request: "Request", body: bytearray) -> None:
        """Read the body, if it is one that is taken, and comes in time."""
        from starlette.requests import ClientDisconnect

        if request.headers.get("content-encoding", "identity") != "identity":
            raise _Refused(415, "a compressed body is not taken: send it as it is")
        close = {"Connection": "close"}
        too_long = _Refused(413, f"a body may have {self._most_bytes} bytes", close)
        with contextlib.suppress(ValueError):  # the server refuses one that is no number
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
                        raise _Refused(503, "too many bodies at once", {"Retry-After": "1"} | close)
        except TimeoutError:
            late = f"the body did not come within {self._body_timeout_s:g} s"
            raise _Refused(408, late, close) from None
        except ClientDisconnect:
            raise _Refused(400, "the client has gone") from None

    async def _answer(self, request: "Request", wanted: protocol.Request) -> Any:
        """Return the model's output, unless nobody waits for it any more."""
        try:
            answer = self._batcher.try_submit_many(wanted.rows)
        except QueueFull as full:
            raise _Refused(503, str(full), {"Retry-After": "1"}) from None
        except ValueError as error:  # a row that is heavier than a batch may be
            raise BadRequest(str(error)) from None
        except RuntimeError:
            raise _Refused(503, "the server is shutting down", {"Retry-After": "1"}) from None
        gone = asyncio.ensure_future(_disconnect(request))
        try:
            await asyncio.wait(
                [answer, gone], timeout=wanted.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                return answer.result()
        except Exception as error:
            raise _failed(error) from None
        finally:
            gone.cancel()
            answer.cancel()
        if gone.done() and not gone.cancelled():
            raise _Refused(400, "the client has gone")
        raise _Refused(503, "the deadline of the request was over before its turn came")


def _failed(error: Exception) -> _Refused:
    _log.error("the model failed", exc_info=error)
    return _Refused(500, "the model failed on this request")


async def _disconnect(request: "Request") -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
