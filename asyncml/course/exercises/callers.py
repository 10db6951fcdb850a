"""Six callers who come to a batcher one after another; lesson 10 draws their timeline."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_CALLERS, _APART_S, _PATIENCE_S = 6, 0.5, 5


async def visit(
    serve: Callable[..., Any],
    ask: Callable[..., Awaitable[Any]],
    model: Callable[..., Any],
    gone: Mapping[int, float],
    most: int = 4,
) -> list[float | None]:
    """Let six callers ask a batcher, half a second apart, with rows 0 to 5.

    Args:
        serve: the batcher, called with a queue, the model and `most`; cancelled at the end.
        ask: puts a row into the queue and returns its answer.
        model: takes a list of rows.
        gone: row -> seconds after which its caller gives up.
        most: the most rows that a batch may have.

    Returns:
        For each caller the seconds until its answer came, or None if there was none within five
        seconds of the last request.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()
    waited: list[float | None] = [None] * _CALLERS

    async def caller(row: int) -> None:
        start_s = loop.time()
        await ask(queue, row)
        waited[row] = loop.time() - start_s

    server = asyncio.create_task(serve(queue, model, most), name="serve")
    asked = []
    for row in range(_CALLERS):
        await asyncio.sleep(row * _APART_S - loop.time())
        asked.append(asyncio.create_task(caller(row), name=f"ask-{row}"))
        if row in gone:
            loop.call_later(gone[row], asked[row].cancel)
    await asyncio.wait(asked, timeout=_PATIENCE_S)
    if server.done() and not server.cancelled() and server.exception():
        print("serve ended with", repr(server.exception()))
    for task in (server, *asked):
        task.cancel()
    await asyncio.wait([server, *asked])
    return waited
