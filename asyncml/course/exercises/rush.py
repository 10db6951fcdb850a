"""Judges an application in a rush: many requests at once, some bad, some cancelled; for lesson 12.

Requests reach the application without a socket, in virtual time, so the verdict is exact. A batch
of b rows takes 20 ms + 2 ms * b.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.failures import shorten

REQUESTS, DEADLINE_S, T0_S, PER_ROW_S = 120, 0.2, 0.02, 0.002
_LEAST, _BAD = 60, 6  # answers in time, and requests that are wrong; as many are cancelled
_APART_S = 0.0001
_PATH = "/v2/models/clothes/infer"
_MEND = '`return aml.create_app(aml.MicroBatcher(forward, ...), "clothes", example=example)`.'
_HINTS: Hints = {
    "positional argument": ("signature", "Called as `serve_model(forward, example)`.", _MEND),
    "missing 1 required keyword-only argument: 'example'": (
        "example",
        "How is the server to know what a row looks like?",
        _MEND,
    ),
    "must be a MicroBatcher": ("batcher", "`create_app` wants a batcher, not a function.", _MEND),
}


class _Rush:
    """A model of which there is one, and what came of each request.

    Attributes:
        said: for each request its status and its seconds; 0 for one that was cancelled.
    """

    def __init__(self) -> None:
        self.said: list[tuple[int, float, Any]] = []
        self.running = self.at_once = self.calls = 0
        self.on_loop = False

    def forward(self, x: Any) -> Any:
        """Return ten outputs a row, late."""
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
        shown = f"it returned {shorten(app)}, and not an application."
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
        tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": row}
        await asyncio.sleep(number * _APART_S)
        begun_s, request = loop.time(), client.post(_PATH, json={"inputs": [tensor]})
        try:
            async with asyncio.timeout(0.005 if kind == 5 else 30):
                answer = await request
        except TimeoutError:
            return 0, 0.0, None
        seconds = loop.time() - begun_s
        data = answer.json()["outputs"][0]["data"] if answer.status_code == 200 else None
        is_right = data is None or np.allclose(data, (1 + number) * np.arange(10))
        return answer.status_code, seconds, is_right


def judge_rush(answer: Any) -> str:
    """Raise `Wrong`, unless the application answers enough in time, and refuses the rest."""
    check_plain(answer)
    rush = _Rush()
    play(rush.run, answer, of=answer, hints=_HINTS)
    shown = "the model ran on the event loop: meanwhile nobody could even be refused."
    demand(not rush.on_loop, "on-the-loop", shown, "A plain function runs in a thread.", _MEND)
    shown = f"{rush.at_once} batches ran at once, and there is one model."
    demand(rush.at_once < 2, "at-once", shown, "`concurrency` is 1 by default: leave it.")
    counts = Counter(status for status, _, _ in rush.said)
    bad = Counter(status for status, _, _ in rush.said[3 :: REQUESTS // _BAD])
    others = counts[400] - bad[400]
    shown = f"of {_BAD} wrong requests {bad[400]} were refused as wrong, and {others} others."
    why = "`example` is one row, as a request has it. Which shape has yours?"
    is_told = bad[400] > 0 == others and bad[400] + bad[503] == _BAD  # 503: nobody read it
    demand(is_told, "bad", shown, why, "Hand on `example` as it is.")
    times = [seconds for status, seconds, _ in rush.said if status == 200]
    late = [seconds for seconds in times if seconds > DEADLINE_S + 1e-9]
    shown = f"{len(late)} of {len(times)} answers came after {DEADLINE_S * 1000:.0f} ms, "
    shown += f"the last after {max(times, default=0) * 1000:.0f} ms."
    why = "Who waits longest? One batch is running when it comes, and how many rows are before it?"
    more = "T(1) + T(n) <= 200 ms, with T(b) = 20 + 2 b: that bounds `max_pending`."
    demand(not late, "late", shown, why, more)
    shown = f"{len(times)} answers came in time, and {_LEAST} are asked for; "
    shown += f"the model was called {rush.calls} times."
    why = "Each call costs 20 ms, whatever is in it. How many rows share one, how many may wait?"
    more = "64 rows a batch, and as many pending: T(1) + T(64) = 22 + 148 = 170 ms."
    demand(len(times) >= _LEAST, "few", shown, why, more)
    are_right = all(right for status, _, right in rush.said if status == 200)
    demand(are_right, "mixed", "an answer was that of another request.", _MEND)
    return (
        f"{len(times)} answered within {max(times) * 1000:.0f} ms, {counts[503]} refused at once, "
        f"{counts[400]} were wrong, {counts[0]} had gone."
    )
