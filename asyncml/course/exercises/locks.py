"""Judges a class that updates shared state, by the locks that it holds; for lesson 04."""

import _thread
import asyncio
from typing import Any

from asyncml.course.exercises.answers import demand_method, names_of
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play, refuse
from asyncml.course.exercises.servers import TRIP_S, UPDATE_S, Server

_IN_INIT = "Write `self.lock = asyncio.Lock()` in `__init__`, and use that one in `push`."
_HINTS: Hints = {
    "is bound to a different event loop": (
        "other-loop",
        "A lock belongs to the loop in which a task first waited for it.",
        _IN_INIT,
    ),
    "context manager protocol": ("async-with", "An asyncio lock is entered with `async with`."),
    UNAWAITABLE: ("await", "Which of these can be awaited? `async with lock:`."),
    "'coroutine'": ("await", "A coroutine was used in place of its result: `await` it."),
    "waits for Lock.acquire": (
        "not-released",
        "A push that has ended still holds the lock. What releases it if `put` raises?",
        "`async with self.lock:` releases it however its block ends.",
    ),
}
_THREAD_LOCKS = (_thread.LockType, _thread.RLock)


class _AsGiven:
    def __init__(self, server: Any) -> None:
        self.server = server

    async def push(self, number: int) -> None:
        gradient = await self.server.load_gradient(number)
        params = await self.server.get()
        await self.server.put(params - gradient)


def judge_lock(answer: Any) -> None:
    """Raise `Wrong` unless no update is lost, the loading overlaps, and an error frees the lock."""
    demand_method(answer, "push", _AsGiven, is_async=True)
    _refuse_thread_locks(answer)
    for seed in range(1, 4):
        server = Server(seed)
        seconds = play(_push_all, answer, server, of=answer.push, hints=_HINTS).seconds
        _judge_pushes(answer, server, seconds)
    _judge_broken(answer)


async def _push_all(make: Any, server: Server) -> None:
    server.trainer = make(server)
    pushes = [asyncio.create_task(push) for push in _pushes(server)]
    try:
        await asyncio.gather(*pushes)
    finally:
        for push in pushes:
            push.cancel()
        await asyncio.wait(pushes)


def _pushes(server: Server) -> list[Any]:
    return [server.trainer.push(n) for n in range(len(server.gradients))]


def _names(make: type) -> set[str]:
    """Return the names that the methods use, except `__init__`."""
    return names_of(*(method for name, method in vars(make).items() if name != "__init__"))


def _refuse_thread_locks(make: Any) -> None:
    """Refuse locks of `threading` before anything runs, since the run would hang."""

    async def scene() -> Any:
        return make(Server(seed=0))

    trainer = play(scene, of=make.push).result
    kept = [*getattr(trainer, "__dict__", {}).values(), *vars(make).values()]
    kept += [make.push.__globals__.get(name) for name in _names(make)]
    shown = "a lock of `threading` makes its whole thread wait, and with it the loop."
    why = "Who could release it meanwhile? asyncio has locks of its own."
    is_theirs = any(isinstance(value, _THREAD_LOCKS) for value in kept)
    is_theirs = is_theirs or "threading" in _names(make)
    demand(not is_theirs, "thread-lock", shown, why, _IN_INIT)


def _judge_pushes(make: type, server: Server, seconds: float) -> None:
    right_s = 0.0
    for load_s in sorted(server.load_s):
        right_s = max(right_s, load_s) + UPDATE_S
    all_loaded = sorted(server.loaded) == list(range(len(server.gradients)))
    shown = f"`load_gradient` was called for {sorted(server.loaded)}: once for each was expected."
    demand(all_loaded, "calls", shown, "Each `push` loads one gradient.")
    if server.params != server.right:
        _explain_loss(make, server)
    in_sequence_s = sum(server.load_s) + UPDATE_S * len(server.load_s)
    shown = f"no update is lost, but it took {seconds:.1f} s, and {right_s:.1f} s would be enough."
    why = "What is slow in `push`, and does it need the lock?"
    more = "`load_gradient` neither reads nor writes what is shared: call it before the lock."
    demand(seconds < in_sequence_s - 1e-6, "serial", shown, why, more)
    demand(seconds < right_s + TRIP_S / 2, "slow", shown, "What waits for what, and must it?")


def _explain_loss(make: type, server: Server) -> None:
    server.demand_puts()
    shown = f"in the end the parameter is {server.params}, and {server.right} was expected: "
    is_lost = server.right < server.params < server.first
    demand(is_lost, "value", shown + "no lost update explains that.", "Put `params - gradient`.")
    locks, held = server.locks(), server.held
    is_own = bool(_names(make) & {"Lock", "Semaphore"})
    is_wide = any(isinstance(lock, asyncio.Semaphore) for lock in locks)
    both = "Put `get` and `put` into one `async with self.lock:`."
    own = "Each `push` makes a lock of its own, and no other push ever waits for that."
    wide = "How many does your semaphore let in at a time?"
    none = "Who may read between your `get` and your `put`? A `sleep` there only lets others in."
    read = "The lock is not held when `get` reads. Is what it read still true at the `put`?"
    write = "The lock is not held when `put` writes. What may have happened since the `get`?"
    blocks = "The lock is held at the `get` and at the `put`. All the time between them, too?"
    refuse(
        f"{shown}updates were lost.",
        (is_own, "own-lock", own, _IN_INIT),
        (is_wide, "semaphore", wide),
        (not locks, "no-lock", none, f"{_IN_INIT} Around which lines?"),
        (not held["get"][0], "read-outside", read, both),
        (not held["put"][0], "write-outside", write, both),
        (True, "two-blocks", blocks, both),
    )


def _judge_broken(make: Any) -> None:
    server = Server(seed=4)
    server.broken_puts = 1

    async def scene() -> list[Any]:
        server.trainer = make(server)
        return await asyncio.gather(*_pushes(server), return_exceptions=True)

    errors = play(scene, of=make.push, hints=_HINTS).result
    shown = "the server once did not answer a `put`, and no ConnectionError came out of `push`."
    why = "The update is lost, and nothing says so. Let errors out."
    demand(any(isinstance(error, ConnectionError) for error in errors), "swallowed", shown, why)
