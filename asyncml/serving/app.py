"""The server: an ASGI application around a batcher."""

from typing import TYPE_CHECKING

import numpy.typing as npt

from asyncml.serving.batcher import MicroBatcher

if TYPE_CHECKING:
    from starlette.applications import Starlette


def create_app(
    batcher: MicroBatcher,
    name: str = "model",
    *,
    example: npt.ArrayLike,
    max_body_bytes: int = 16 * 2**20,
    body_timeout_s: float = 30.0,
) -> "Starlette":
    """Return an ASGI application that serves the Open Inference Protocol, version 2, over REST.

    On start-up it enters the batcher and asks the model for its output for `example`; then it is
    ready. On shutdown it answers the requests that it has accepted, and ends.

    ================================ =============================================================
    GET `/v2`                        the server: its name and version
    GET `/v2/health/live`            200 while the process runs
    GET `/v2/health/ready`           200 if it takes requests, otherwise 503
    GET `/v2/models/NAME`            the model: names, shapes and datatypes
    GET `/v2/models/NAME/ready`      as `/v2/health/ready`
    POST `/v2/models/NAME/infer`     the output for n rows, as JSON or binary; all rows or none
    GET `/metrics`                   statistics, for Prometheus
    GET `/openapi.json`              these routes as an OpenAPI document
    ================================ =============================================================

    A bad request gets a 4xx that says what is wrong; a full queue, a 503 with `Retry-After`. If the
    client disconnects, or its `timeout` (a request parameter, in microseconds) expires, its request
    is dropped. If the model fails, or its output does not match its output for the example, the
    client gets a 500 without details, and the error is logged.

    Args:
        batcher: answers the requests; it must not be in use.
        name: the model's name, in the paths: letters, digits, `-`, `_` and `.`.
        example: one row (...); every request's rows must have its shape and dtype.
        max_body_bytes: the largest body of a request; a larger one gets a 413 before it is read.
            All bodies being read at one time may have eight times as much; more get a 503.
        body_timeout_s: how many seconds a client may take to send a body.

    Raises:
        ModuleNotFoundError: starlette or prometheus_client is not installed.
        TypeError, ValueError: an argument is out of bounds.

    Example:
        >>> import numpy as np
        >>> from asyncml.network import MLP
        >>> model = MLP([784, 10])
        >>> app = create_app(MicroBatcher(model.forward), example=np.zeros(784, np.float32))

        With this in `serve.py`, run `uvicorn serve:app --timeout-graceful-shutdown 30`: the limit
        keeps a client that does not read its answer from blocking the shutdown. `--workers 4` runs
        several processes behind one port, each with its own model and batcher.
    """
    try:
        from asyncml.serving.service import Service
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"create_app needs {error.name}: pip install 'asyncml[serving]'", name=error.name
        ) from error
    return Service(batcher, name, example, max_body_bytes, body_timeout_s).app()
