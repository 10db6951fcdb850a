"""A server for tests: an app under uvicorn on this loop, or in a process of its own."""

# ruff: noqa: ASYNC110  # what a server in another process does can only be asked for

import asyncio
import contextlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from asyncml.serving import create_app

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")


EXAMPLE = np.zeros(3, np.float32)


INFER = "/v2/models/model/infer"


def twice(x):
    return x * 2


def body(*rows, **changes):
    tensor = {"name": "input", "shape": [len(rows), 3], "datatype": "FP32", "data": [*rows]}
    return {"inputs": [tensor | changes]}


def raw(content, length=None):
    """Return the bytes of a request for an answer."""
    size = len(content) if length is None else length
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + content


@contextlib.asynccontextmanager
async def serving(batcher, **options):
    """Run the app under uvicorn, on a free port of this machine; yield a client."""
    app = create_app(batcher, **{"example": EXAMPLE, **options})
    times = {"timeout_keep_alive": 60, "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="on", **times)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the server has not started"
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            client.port, client.server = port, server
            yield client
    finally:
        server.should_exit = True
        await task


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


class Gate:
    """A model that waits until it is let go on."""

    def __init__(self):
        self.open = asyncio.Event()
        self.batches = []

    async def __call__(self, x):
        if x.any():
            self.batches.append(len(x))
            await self.open.wait()
        return x


PROGRAM = """
import asyncio, sys
import numpy as np, uvicorn
from asyncml.serving import MicroBatcher, create_app

async def slow(x):
    await asyncio.sleep(float(sys.argv[2]))
    return x

app = create_app(MicroBatcher(slow, max_batch_size=8), example=np.zeros(3, np.float32))
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


@contextlib.contextmanager
def process(seconds):
    """Serve a model that takes so long, in a process of its own; yield it and its address."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port = it.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", PROGRAM, str(port), str(seconds)])
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                    break
            time.sleep(0.05)
        yield server, url
    finally:
        server.kill()
        server.wait()
