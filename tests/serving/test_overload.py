"""A server with too much to do, and clients that are slow, large, many, impatient or gone."""

import asyncio
import contextlib
import json

import numpy as np
import pytest

from asyncml.serving import MicroBatcher
from tests.serving.server import INFER, Gate, body, httpx, raw, serving, twice, until


def test_a_full_queue_is_said_at_once():
    async def main():
        gate = Gate()
        batcher = MicroBatcher(gate, max_batch_size=1, max_pending=2)
        async with serving(batcher) as client:
            asks = [asyncio.create_task(client.post(INFER, json=body([1, 1, 1])))]
            await until(lambda: gate.batches)
            asks.append(asyncio.create_task(client.post(INFER, json=body([1, 1, 1], [2, 2, 2]))))
            await until(lambda: batcher.statistics().queued == 2)
            refused = await client.post(INFER, json=body([1, 1, 1]))
            gate.open.set()
            answers = await asyncio.gather(*asks)
            assert [answer.status_code for answer in answers] == [200, 200]
            return refused

    refused = asyncio.run(main())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "max_pending=2" in refused.json()["error"]


def test_a_full_queue_is_said_before_the_body_has_come():
    async def main():
        gate = Gate()
        batcher = MicroBatcher(gate, max_batch_size=1, max_pending=1)
        async with serving(batcher) as client:
            asks = [asyncio.create_task(client.post(INFER, json=body([1, 1, 1])))]
            await until(lambda: gate.batches)
            asks.append(asyncio.create_task(client.post(INFER, json=body([1, 1, 1]))))
            await until(lambda: batcher.statistics().queued)
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(raw(b"", 1000))
            assert b"503" in await reader.readline()
            writer.close()
            assert batcher.statistics().rejected == 1
            gate.open.set()
            assert [(await ask).status_code for ask in asks] == [200, 200]

    asyncio.run(main())


def test_a_client_that_goes_and_one_whose_deadline_is_over_give_up_their_place():
    async def main():
        gate = Gate()
        batcher = MicroBatcher(gate, max_batch_size=1)
        async with serving(batcher) as client:
            running = asyncio.create_task(client.post(INFER, json=body([1, 1, 1])))
            await until(lambda: gate.batches)
            impatient = asyncio.create_task(client.post(INFER, json=body([2, 2, 2])))
            await until(lambda: batcher.statistics().queued == 1)
            impatient.cancel()
            await until(lambda: batcher.statistics().queued == 0)
            late = body([3, 3, 3]) | {"parameters": {"timeout": 20_000}}
            answer = await client.post(INFER, json=late)
            assert answer.status_code == 503
            assert "deadline" in answer.json()["error"]
            assert batcher.statistics().queued == 0
            gate.open.set()
            assert (await running).status_code == 200
            assert gate.batches == [1]
            assert batcher.statistics().cancelled == 2

    asyncio.run(main())


def test_a_large_body_is_refused_before_it_is_read_and_a_larger_than_it_says_as_well():
    async def main():
        async def endless():
            while True:
                sent.append(1000)
                yield b" " * 1000

        sent = []
        async with serving(MicroBatcher(twice), max_body_bytes=10_000) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(
                f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**9}\r\n\r\n".encode()
            )
            answer = await reader.read()
            assert b"413" in answer.splitlines()[0]
            assert b"a body may have 10000 bytes" in answer
            writer.close()
            with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                late = await client.post(INFER, content=endless())
                assert late.status_code == 413
            assert sum(sent) < 10_000_000
            large = body([0.123456789] * 3) | {"id": "x" * 9000}
            assert (await client.post(INFER, json=large)).status_code == 200

    asyncio.run(main())


def test_a_slow_body_is_given_up():
    async def main():
        async def slow():
            yield b"{"
            await asyncio.sleep(0.2)
            yield b"}"

        async with serving(MicroBatcher(twice), body_timeout_s=0.02) as client:
            with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                answer = await client.post(INFER, content=slow())
                assert answer.status_code == 408
            assert (await client.post(INFER, json=body([1, 2, 3]))).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize("sent", [b"", b'{"inputs": ['])
def test_a_body_that_stops_halfway_holds_nobody_up_and_not_the_end_either(sent):
    async def main():
        async with serving(MicroBatcher(twice), body_timeout_s=0.2) as client:
            stopped = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(20)]
            for _, writer in stopped:
                writer.write(raw(sent, 1000))
            assert (await client.post(INFER, json=body([1, 2, 3]))).status_code == 200
            answer = await stopped[0][0].read()  # it ends with the connection
            assert b"408" in answer.splitlines()[0]
            assert b"did not come within 0.2 s" in answer
            for _, writer in stopped:
                writer.close()
            _, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(raw(sent, 1000))
            await asyncio.sleep(0)
        writer.close()  # the server has ended

    asyncio.run(main())


def test_a_client_that_reads_no_answer_costs_bounded_memory_and_does_not_hold_up_the_end():
    def model(x):
        return np.zeros((len(x), 100_000), np.float32)  # 500 kB of JSON

    async def main():
        batcher = MicroBatcher(model)
        async with serving(batcher) as client:
            _, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1)
            for _ in range(100):
                writer.write(raw(json.dumps(body([1, 2, 3])).encode()))
            await until(lambda: batcher.statistics().answered > 2)
            assert (await client.post(INFER, json=body([1, 2, 3]))).status_code == 200
            await asyncio.sleep(0.3)
            # the next one is taken when there is room for its answer, and that there is not
            assert batcher.statistics().requests < 60
        writer.close()
        if ending := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(ending, timeout=10)  # the server has cancelled what it gave up

    asyncio.run(main())


def test_the_bodies_that_are_read_at_once_are_bounded_together():
    async def main():
        async def slow():
            yield b" " * 900
            await release.wait()

        release = asyncio.Event()
        async with serving(MicroBatcher(twice), max_body_bytes=1000) as client:
            asks = [asyncio.create_task(client.post(INFER, content=slow())) for _ in range(8)]
            refused = 0
            while not refused:
                with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                    answer = await client.post(INFER, content=b" " * 900)
                    refused = answer.status_code == 503
                await asyncio.sleep(0.005)
            assert answer.json() == {"error": "too many bodies at once"}
            release.set()
            for ask in asks:
                assert (await ask).status_code == 400
            assert (await client.post(INFER, json=body([1, 2, 3]))).status_code == 200

    asyncio.run(main())


def test_a_thousand_idle_connections_harm_nobody():
    async def main():
        async with serving(MicroBatcher(twice)) as client:
            idle = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(1000)]
            assert (await client.post(INFER, json=body([1, 2, 3]))).status_code == 200
            for _, writer in idle:
                writer.close()

    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        asyncio.run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
