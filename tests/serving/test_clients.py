"""Programs that nobody here wrote: Triton's client, a fuzzer, and a system that ends the server."""

# ruff: noqa: ASYNC110  # what a server in another process does can only be asked for

import asyncio
import signal
import subprocess
import sys

import pytest

from asyncml.serving import MicroBatcher
from tests import module
from tests.serving.server import INFER, body, httpx, process, serving, twice

TRITON = """
import faulthandler, os, sys
faulthandler.dump_traceback_later(100, exit=True)  # a client that hangs says where
import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

client = InferenceServerClient(f"127.0.0.1:{sys.argv[1]}", concurrency=4)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("model")
assert client.get_server_metadata()["name"] == "asyncml"
assert client.get_model_metadata("model")["inputs"][0]["shape"] == [-1, 3]
x = np.arange(6, dtype=np.float32).reshape(2, 3)
for binary in (True, False):
    for wanted in (True, False):
        given = InferInput("input", [2, 3], "FP32")
        given.set_data_from_numpy(x, binary_data=binary)
        outputs = [InferRequestedOutput("output", binary_data=wanted)]
        result = client.infer("model", [given], outputs=outputs, request_id="7")
        np.testing.assert_array_equal(result.as_numpy("output"), 2 * x)
        assert result.get_response()["id"] == "7"
asked = [client.async_infer("model", [given]) for _ in range(20)]
assert all((r.get_result().as_numpy("output") == 2 * x).all() for r in asked)
try:
    client.infer("model", [InferInput("wrong", [2, 3], "FP32").set_data_from_numpy(x)])
except InferenceServerException as error:
    assert "the input is called 'input', got 'wrong'" in str(error), error
print("all is well", flush=True)
os._exit(0)  # at its end gevent now and then waits for ever, long after the last answer
"""


def test_tritons_client_works():
    pytest.importorskip("tritonclient.http")

    async def main():
        async with serving(MicroBatcher(twice)) as client:
            command = [sys.executable, "-c", TRITON, str(client.port)]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=False
            )
            assert done.stdout.strip() == "all is well", done.stderr

    asyncio.run(main())


def test_no_request_that_a_fuzzer_makes_is_a_server_error():
    pytest.importorskip("schemathesis")
    with process(0) as (_, url):
        command = [*module("schemathesis.cli"), "run", f"{url}/openapi.json"]
        # that `data` has as many numbers as `shape` says is beyond OpenAPI: what it allows may be
        # refused; everything else is held against the document
        other = "--exclude-checks=positive_data_acceptance"
        options = [
            other,
            "--max-examples=40",
            "--seed=1",
            "--generation-database=none",
            "--workers=1",
        ]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert httpx.get(f"{url}/v2/health/ready").status_code == 200


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to wait for")
def test_a_server_that_is_told_to_end_answers_what_it_has_taken():
    async def main(server, url):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            rows = [body([1, 2, number]) for number in range(60)]
            asks = [asyncio.create_task(client.post(INFER, json=row)) for row in rows]
            while not any(ask.done() for ask in asks):
                await asyncio.sleep(0.005)
            server.send_signal(signal.SIGTERM)
            return await asyncio.gather(*asks, return_exceptions=True)

    with process(0.05) as (server, url):
        answers = asyncio.run(main(server, url))
        assert server.wait(30) in (0, -signal.SIGTERM)
    for number, answer in enumerate(answers):
        if not isinstance(answer, httpx.TransportError):  # it was never taken
            assert answer.status_code == 200
            assert answer.json()["outputs"][0]["data"] == [1, 2, number]
    assert sum(not isinstance(answer, Exception) for answer in answers) >= 8
