"""Judges the kernel that learners write in lesson 02: it runs the cells of a notebook.

Also has our own kernel, which the lesson uses until the learner's passes.
"""

import ast
import asyncio
import random
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play, quietly

_NEAR_S = 1e-6

RUNS = (
    "run",
    "This code already runs on a loop, and a thread runs one loop at a time.",
    "In an `async def`, write `await` where a script has `asyncio.run`.",
)
_CODE = ("code", "It is only compiled so far. Which function runs it, and what does that return?")
_NAMES = (
    "names",
    "Which names may the cell use, and where do those that it makes end up?",
    "`eval(code, names)`: all cells share the one dictionary that `kernel` is given.",
)
_KERNEL_HINTS: Hints = {
    "cannot be called from a running event loop / loop is already running / another loop": RUNS,
    "is not defined": _NAMES,
    "outside function": (
        "no-flag",
        "What lets `compile` accept an `await` outside a function?",
        "`compile(source, name, 'exec', flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)`",
    ),
    "invalid syntax": (
        "source",
        "A cell is several statements: compile it as 'exec', and run what `compile` returns.",
    ),
    "positional argument": ("signature", "`kernel` is called with `cells` and `names`."),
    "object code can / 'code' object can": _CODE,  # up to Python 3.13; later
    f"{UNAWAITABLE} / coroutine was expected / a coroutine or an awaitable is required": (
        "nothing-to-await",
        "What does `eval` return for a cell without an `await`?",
        "It returns None, and the cell has run by then: await only what is not None.",
    ),
}


async def kernel(cells: list[str], names: dict[str, Any]) -> None:
    """Run the cells of a notebook, with a second of reading time after each."""
    for number, source in enumerate(cells, start=1):
        code = compile(source, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        coroutine = eval(code, names)  # this has run a cell without `await`
        if coroutine is not None:
            await coroutine
        await asyncio.sleep(1)


@quietly
def judge_kernel(answer: Any) -> None:
    """Raise `Wrong` unless it runs plain cells and cells with `await`, one after another."""
    check_kind(answer, True)
    log: list[tuple[str, float]] = []

    def note(name: str) -> None:
        log.append((name, asyncio.get_running_loop().time()))

    async def scene(run: Callable[..., Any]) -> float:
        cells = ["note('first')", "await asyncio.sleep(2)\nnote('second')", "note('third')"]
        await run(cells, {"asyncio": asyncio, "note": note})
        ended_s = asyncio.get_running_loop().time()
        await asyncio.sleep(10)
        return ended_s

    ended_s = play(scene, answer, of=answer, hints=_KERNEL_HINTS).result
    _judge_log(log, ended_s)
    start = random.Random(2).randrange(100)
    names: dict[str, Any] = {"asyncio": asyncio}
    cells = [f"count = {start}", "count += await asyncio.sleep(1, 4)", "double = 2 * count"]

    async def shared(run: Callable[..., Any]) -> None:
        await run(cells, names)

    play(shared, answer, of=answer, hints=_KERNEL_HINTS)
    shown = "a name that one cell had set was missing in the next cell, or in `names`."
    demand(names.get("double") == 2 * (start + 4), _NAMES[0], shown, *_NAMES[1:])


def _judge_log(log: list[tuple[str, float]], ended_s: float) -> None:
    at = dict(log)
    shown = "the first cell, which has no `await`, did not run."
    why, more = "Which function runs `code`?", "`eval(code, names)` runs it."
    demand("first" in at, "not-run", shown, why, more)
    shown = "the cell with an `await` in it was not run to its end."
    why = "What does `eval` return for such a cell, and who awaits it? (`exec` throws it away.)"
    more = "Keep what `eval(code, names)` returns, and await it if it is not None."
    demand("second" in at, "dropped", shown, why, more)
    shown = f"a cell ran twice: {', '.join(name for name, _ in log)}."
    demand(len(log) == len(at), "twice", shown, "How often do you call `eval` for a cell?")
    shown = "the third cell did not run."
    demand("third" in at, "missing", shown, "Does your loop go on after a cell with an `await`?")
    shown = "the third cell ran while the second was still waiting."
    why = "A kernel runs one cell at a time: await the coroutine itself, and not a task beside it."
    demand(at["third"] >= at["second"], "too-early", shown, why)
    shown = f"the reader wants 1 s after each cell; the third cell ran at {at['third']:g} s, "
    shown += f"and `kernel` ended at {ended_s:g} s; expected: 4 and 5 s."
    is_near = are_near([*at.values(), ended_s], [0.0, 3.0, 4.0, 5.0])
    demand(is_near, "pause", shown, "After cells of both kinds: `await asyncio.sleep(1)`.")


def are_near(times: list[float], right: list[float]) -> bool:
    """Return whether all times are as expected."""
    return len(times) == len(right) and all(
        abs(time - other) < _NEAR_S for time, other in zip(times, right, strict=True)
    )
