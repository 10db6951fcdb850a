"""The cost of recording a program, per step of a task."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncml as aml
from benchmarks.measuring import interleaved

STEPS = 20_000


async def yields() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


async def hands_over() -> None:
    """Pass items between two tasks, a queue each way: every put and every get is a step."""
    there: asyncio.Queue[int] = asyncio.Queue(1)
    back: asyncio.Queue[int] = asyncio.Queue(1)

    async def answer() -> None:
        for _ in range(STEPS // 2):
            await back.put(await there.get())

    async with asyncio.TaskGroup() as group:
        group.create_task(answer())
        for number in range(STEPS // 2):
            await there.put(number)
            await back.get()


async def sleeps() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(1)


def main() -> Iterator[tuple[str, str, str]]:
    programs: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "a step that yields": yields,
        "a step that hands an item over": hands_over,
    }
    for what, program in programs.items():
        yield _row(
            what,
            lambda program=program: asyncio.run(program()),
            lambda program=program: asyncio.run(_record(program)),
            "at most 1.5 us",
        )
    yield _row(
        "a step after a wait that took (virtual) time",
        lambda: aml.simulate(sleeps()),
        lambda: aml.simulate(_record(sleeps)),
        "its reason and its line are looked up: some 1 us of it",
    )


async def _record(program: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await aml.record(program())


def _row(
    what: str, plain: Callable[[], None], recorded: Callable[[], None], limit: str
) -> tuple[str, str, str]:
    without, with_it = interleaved(plain, recorded)
    added = (with_it - without) / STEPS * 1e6
    return f"{what} ({without / STEPS * 1e6:.2f} us) costs more", f"{added:.2f} us", limit
