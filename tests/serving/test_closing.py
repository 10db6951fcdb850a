"""The end of the block: whoever came before is answered, and nothing is left."""

import asyncio

import pytest

from asyncml.clock import simulate
from asyncml.serving import MicroBatcher
from tests.serving.models import Model, adds_up


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_end_of_the_block_answers_all_that_came_before(concurrency):
    async def main():
        async with MicroBatcher(
            Model(), 2, max_pending=3, concurrency=concurrency, max_wait_s=5
        ) as batcher:
            tasks = [asyncio.create_task(batcher(row)) for row in range(11)]
            tasks.append(asyncio.create_task(batcher.many(range(7))))
            await asyncio.sleep(0.1)
        assert all(task.done() for task in tasks)
        return [task.result() for task in tasks]

    assert simulate(main()) == [*range(0, 22, 2), [*range(0, 14, 2)]]


def test_a_block_left_by_an_error_answers_nobody_and_leaves_nothing():
    async def main():
        tasks = []

        async def serve():
            async with MicroBatcher(Model(100), 1, max_pending=2) as batcher:
                tasks.extend(asyncio.create_task(batcher(row)) for row in range(5))
                tasks.append(asyncio.create_task(batcher.many([1, 2, 3])))
                await asyncio.sleep(1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await serve()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, RuntimeError) for answer in answers)
        assert asyncio.get_running_loop().time() == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(main())


def test_a_cancelled_end_leaves_nothing_either():
    async def main():
        async def serve():
            async with MicroBatcher(Model(100)) as batcher:
                asks.append(asyncio.create_task(batcher(1)))
                await asyncio.sleep(1)

        asks = []
        serving = asyncio.create_task(serve())
        await asyncio.sleep(5)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(RuntimeError):
            await asks[0]

    simulate(main())


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("what", [[0, 1, 2], [0, [1, 2, 3], 4], [[0, 1, 2, 3, 4, 5]]])
def test_a_block_left_at_any_turn_of_the_loop_leaves_nobody_waiting(turns, what):
    """With all that can happen in the same turn: rooms given, batches ended, callers cancelled."""

    async def main():
        async def serve():
            async with MicroBatcher(Model(), 1, max_pending=1) as batcher:
                kept.append(batcher)
                for x in what:
                    ask = batcher.many(x) if isinstance(x, list) else batcher(x)
                    tasks.append(asyncio.create_task(ask))
                await asyncio.sleep(turns // 4)
                for _ in range(turns % 4):
                    await asyncio.sleep(0)
                tasks[-1].cancel()
                await asyncio.sleep(0)
                raise ZeroDivisionError

        kept, tasks = [], []
        with pytest.raises(ZeroDivisionError):
            await serve()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
        statistics = kept[0].statistics()
        assert statistics.queued == 0
        assert adds_up(statistics)
        async with kept[0] as again:
            assert await again(3) == 6
            assert again.statistics().queued == 0

    simulate(main())


@pytest.mark.parametrize("turns", range(6))
def test_a_block_whose_own_task_is_cancelled_at_any_turn_leaves_nothing(turns):
    async def main():
        async def serve():
            async with MicroBatcher(Model(), 1, max_pending=1, concurrency=2) as batcher:
                tasks.extend(asyncio.create_task(batcher(row)) for row in range(6))
                await asyncio.sleep(0)

        tasks = []
        serving = asyncio.create_task(serve())
        for _ in range(turns):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(main())
