"""Judges an application under a burst of requests, some bad, some cancelled; for lesson 12.

Requests reach the application without a socket and in virtual time, so the verdict is exact. A
batch of b rows takes 20 ms + 2 ms * b. `served` uses real sockets.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises.feeders import called
from asyncml.course.exercises.scenes import check_plain, demand, play
from asyncml.failures import shorten

if TYPE_CHECKING:
    from httpx import AsyncClient

REQUESTS, DEADLINE_S, T0_S, PER_ROW_S = 120, 0.2, 0.02, 0.002
_LEAST, _BAD = 60, 6  # answers in time that are required; bad requests, and as many are cancelled
_MOST = 80  # the first request, and the 79 that may wait behind it
_LATE_S, _APART_S = DEADLINE_S + 1e-9, 0.0001
_PATH = "/v2/models/clothes/infer"
_MEND = '`return aml.create_app(aml.MicroBatcher(forward, ...), "clothes", example=example)`.'
_HINTS = called("serve_model(forward, example)")


async def ask(client: "AsyncClient", row: Any) -> tuple[int, Any]:
    """Request the output of a row from the application "clothes".

    Returns:
        The status, and the output: a list of numbers if the status is 200, else None.
    """
    data = np.asarray(row).tolist()
    tensor = {"name": "input", "shape": [1, len(data)], "datatype": "FP32", "data": data}
    answer = await client.post(_PATH, json={"inputs": [tensor]})
    is_good = answer.status_code == 200
    return answer.status_code, answer.json()["outputs"][0]["data"] if is_good else None


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator["AsyncClient"]:
    """Serve an application with uvicorn, on this loop and a free port; yield a client for it."""
    import uvicorn
    from httpx import AsyncClient

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    running = asyncio.create_task(server.serve(), name="uvicorn")
    try:
        while not (server.started or running.done()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        async with AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await running


class _Rush:
    """A burst of requests to a single model, and the outcome of each.

    Attributes:
        said: for each request its status (0 if the caller gave up), its seconds, and whether the
            output is right.
    """

    def __init__(self) -> None:
        self.said: list[tuple[int, float, Any]] = []
        self.running = self.at_once = self.calls = 0
        self.on_loop = False

    def forward(self, x: Any) -> Any:
        """Return ten outputs a row, after the time that the batch takes."""
        self.calls += 1
        self.running += 1
        self.at_once = max(self.at_once, self.running)
        self.on_loop |= threading.get_ident() == self.thread
        compute(T0_S + PER_ROW_S * len(x))
        self.running -= 1
        return np.asarray(x).reshape(len(x), -1)[:, :1] * np.arange(10, dtype=np.float32)

    async def run(self, serve_model: Callable[..., Any]) -> Any:
        self.thread = threading.get_ident()
        app = serve_model(self.forward, np.zeros(4, np.float32))
        shown = f"it returned {shorten(app)}, not an application."
        demand(hasattr(app, "router"), "kind", shown, "Is there a `return`?", _MEND)
        is_named = any(getattr(route, "path", "") == _PATH for route in app.routes)
        shown = f"it has no route {_PATH}."
        demand(is_named, "name", shown, "The second argument is its name.", _MEND)
        from httpx import ASGITransport, AsyncClient

        async with app.router.lifespan_context(app):
            self.calls = self.at_once = 0
            async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as client:
                self.said = await asyncio.gather(
                    *[self._ask(client, number) for number in range(REQUESTS)]
                )

    async def _ask(self, client: Any, number: int) -> tuple[int, float, Any]:
        kind, loop = number % (REQUESTS // _BAD), asyncio.get_running_loop()
        row = [1.0 + number, 0.0, 0.0, 0.0][: 3 if kind == 3 else 4]
        await asyncio.sleep(number * _APART_S)
        begun_s = loop.time()
        try:
            async with asyncio.timeout(0.005 if kind == 5 else 30):
                status, data = await ask(client, row)
        except TimeoutError:
            return 0, loop.time() - begun_s, None
        is_right = data is None or np.allclose(data, (1 + number) * np.arange(10))
        return status, loop.time() - begun_s, is_right


def judge_rush(answer: Any) -> str:
    """Raise `Wrong` unless the application answers enough in time and refuses the rest."""
    check_plain(answer)
    rush = _Rush()
    play(rush.run, answer, of=answer, hints=_HINTS)
    shown = "the model ran on the event loop: meanwhile nobody could even be refused."
    demand(not rush.on_loop, "on-the-loop", shown, "A plain function runs in a thread.", _MEND)
    shown = f"{rush.at_once} batches ran at once, but there is only one model."
    demand(rush.at_once < 2, "at-once", shown, "`concurrency` is 1 by default: leave it.")
    counts = Counter(status for status, _, _ in rush.said)
    bad = Counter(status for status, _, _ in rush.said[3 :: REQUESTS // _BAD])
    others = counts[400] - bad[400]
    shown = f"of {_BAD} wrong requests {bad[400]} were refused as wrong, and {others} others."
    why = "`example` is one row, as a request has it. Which shape has yours?"
    is_told = bad[400] > 0 == others and bad[400] + bad[503] == _BAD  # 503: refused unread
    demand(is_told, "bad", shown, why, "Pass `example` on as it is.")
    times = [seconds for status, seconds, _ in rush.said if status == 200]
    late = [seconds for status, seconds, _ in rush.said if status < 400 and seconds > _LATE_S]
    shown = f"{len(late)} callers had no answer after {DEADLINE_S * 1000:.0f} ms; the last one "
    shown += f"waited {max(late, default=0) * 1000:.0f} ms; {rush.calls} batches ran."
    why = "A batch waited to be full. The third argument of `MicroBatcher` is `max_wait_s`."
    is_kept = max(late, default=0) > 10
    demand(not is_kept, "waits", shown, why, f"{why} Pass `max_pending` by name.")
    why = "Few enough may wait, but each batch costs 20 ms. How many batches do they need?"
    more = "`max_batch_size` has to be large enough for all that may wait: then it is one."
    is_split = len(times) <= _MOST and rush.calls > 2
    demand(not late or not is_split, "split", shown, why, more)
    why = "Who waits longest? One batch is running when it comes, and how many rows are before it?"
    more = "T(1) + T(n) <= 200 ms, with T(b) = 20 + 2 b: that bounds `max_pending`."
    demand(not late, "late", shown, why, more)
    shown = f"{len(times)} answers came in time, and {_LEAST} are asked for; "
    shown += f"the model was called {rush.calls} times."
    why = "Each call costs 20 ms, whatever is in it. How many rows share one, how many may wait?"
    more = "64 rows a batch, and as many pending: T(1) + T(64) = 22 + 148 = 170 ms."
    demand(len(times) >= _LEAST, "few", shown, why, more)
    are_right = all(right for status, _, right in rush.said if status == 200)
    shown = "an answer was not what the model gives for its row."
    demand(are_right, "mixed", shown, "Which row got it?", "Pass `forward` on as it is.")
    return (
        f"{len(times)} answered within {max(times) * 1000:.0f} ms, {counts[503]} told at once to "
        f"try later, {counts[400]} told that they are wrong; {counts[0]} gave up."
    )
