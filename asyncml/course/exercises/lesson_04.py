"""The exercises of lesson 04: three bets, and lost updates, mended by locks and by an owner."""

import _thread
import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises import Wrong, exercise, expect
from asyncml.course.exercises.answers import demand_class, is_number, names_of, read_list
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, demand, play, quietly
from asyncml.course.exercises.servers import TRIP_S, UPDATE_S, Server
from asyncml.course.exercises.tallies import AsGiven, judge

# ---- 04-powers ----
_THINGS = ("a coroutine", "a task", "a thread", "a process")
_POWERS = ((-8, -7), (-6, -5), (-5, -4), (-2, -1))  # in most places; any of them counts as right


@exercise("04-powers")
def powers(answer: Any) -> str:
    """Check four bets on the price of starting something, as powers of ten of a second."""
    bets = read_list(answer, "your bets", "a number")
    are_whole = all(type(bet) is int or (type(bet) is float and bet.is_integer()) for bet in bets)
    why = "A thousandth of a second is 10 ** -3: write -3."
    shown = f"four whole numbers were expected, got {answer!r:.60}."
    demand(are_whole and len(bets) == len(_THINGS), "kind", shown, why)
    demand(max(bets) <= 0, "sign", f"10 ** {max(bets)} s is more than a second.", why)
    shown = "one of them costs less than the one before it."
    why = "Each of the four needs more than the one before: write them from cheap to dear."
    demand(bets == sorted(bets), "order", shown, why)
    for thing, bet, (low, high), why in zip(_THINGS, bets, _POWERS, _PRICE_HINTS, strict=True):
        shown = f"starting {thing} is not a matter of 10 ** {bet} s"
        demand(bet <= high, "too-dear", f"{shown}, but of less.", why)
        demand(bet >= low, "too-cheap", f"{shown}, but of more.", why)
    return "each power is a factor of ten. Between a coroutine and a process there are six of them."


_PRICE_HINTS = (
    "None of it runs yet: Python only makes an object.",
    "A few objects, a place in the loop's queue, a first step. The operating system is not asked.",
    "The operating system makes it a stack and finds it a core, but loads nothing from a disk.",
    "A new interpreter starts, and imports modules. How long does `python` take to start?",
)


# ---- 04-turns ----
_TURNS = (0, 0, 1000)
_TURN_HINTS = (
    "A coroutine that does not wait is run like a function. Does the loop come in between?",
    "The lock is free, so nothing waits for it. Does the loop come in between?",
    "`sleep(0)` is there to give others a turn: one for each time.",
)


@exercise("04-turns")
def turns(answer: Any) -> str:
    """Check three bets on how many turns another task gets meanwhile."""
    bets = read_list(answer, "three numbers", "a number")
    shown = f"three numbers from 0 to 1000 were expected, got {answer!r:.60}."
    are_numbers = len(bets) == len(_TURNS) and all(map(is_number, bets))
    demand(are_numbers and all(0 <= bet <= 2000 for bet in bets), "kind", shown)
    why = "An `await` goes back to the loop only if something in it waits."
    demand(tuple(bets) != (1000, 1000, 1000), "every-await", "not 1000 everywhere.", why)
    names = ("bare_awaits", "free_locks", "naps")
    for name, bet, right, why in zip(names, bets, _TURNS, _TURN_HINTS, strict=True):
        demand(abs(bet - right) <= 1, name.replace("_", "-"), f"{name}: not {bet:g}.", why)
    return "only what waits gives a turn: `await` alone is a call."


# ---- 04-switches ----
@exercise("04-switches")
def switches(answer: Any) -> str:
    """Check by how many per cent small jobs are slower with a turn after each."""
    wrong = {
        0.1: ("share", "That is the share. In per cent?"),
        1.1: ("whole", "That is what it takes now, as a multiple. How many per cent are added?"),
        110: ("whole", "That is what it takes now, in per cent of before. How much is added?"),
        100 / 11: ("of-all", "That is the switches' share of the whole. How much do they add?"),
    }
    expect(answer, 10, wrong, "Each job has one switch. What does it add to 20 µs?")
    return "2 µs on top of 20. For jobs of 2 ms it would be a tenth of one per cent."


# ---- 04-threads ----
_TALLY_HINTS: Hints = {
    "context manager": (
        "asyncio-lock",
        "A lock of asyncio is for tasks of one loop. For threads there is `threading.Lock`.",
    ),
    "release unlocked lock": ("acquire", "The lock was released where it was not held."),
}


@exercise("04-threads")
@quietly
def threads(answer: Any) -> str:
    """Check a class that counts for many threads at once."""
    demand_class(answer)
    add = getattr(answer, "add", None)
    demand(callable(add), "kind", f"`{answer.__name__}` has no method `add`.")
    check_kind(add, False)
    is_async = inspect.iscoroutinefunction(add) or inspect.isasyncgenfunction(add)
    why = "Threads call it, and no loop runs there."
    demand(not is_async, "kind", "`add` must be a plain `def`.", why)
    is_given = _code(add) == AsGiven.add.__code__.co_code
    is_given = is_given and _code(answer.__init__) == AsGiven.__init__.__code__.co_code
    demand(not is_given, "open", "as it stands updates get lost: mend it")
    judge(answer, _TALLY_HINTS)
    return "no update is lost, predictions overlap, and an error releases the lock."


# ---- 04-total ----
@exercise("04-total")
def total(answer: Any) -> str:
    """Check the bet on what is left of three updates that overlap."""
    wrong = {
        111: ("all", "That is all three. Which of them writes without having seen the others?"),
        101: ("read-late", "Has `a` written already when `c` reads?"),
        100: ("read-early", "What had been written when `c` read?"),
        11: ("two", "Who writes last, and what had it seen?"),
        1: ("not-last", "That is what `a` writes at 5 s. Does nobody write after that?"),
        10: ("not-last", "That is what `b` writes at 3 s. Who writes after that?"),
    }
    expect(answer, 110, wrong, "Write down the total at 1, 2, 3, 4, 5 and 6 s.")
    return "`a` overwrote `b`, then `c`, which had read before that, `a`. Only +1 is lost."


# ---- 04-lock ----
_IN_INIT = "Write `self.lock = asyncio.Lock()` in `__init__`, and use that one in `push`."
_LOCK_HINTS: Hints = {
    "is bound to a different event loop": (
        "other-loop",
        "A lock belongs to the loop in which a task first waited for it.",
        _IN_INIT,
    ),
    "context manager protocol": ("async-with", "A lock of asyncio is entered by `async with`."),
    **dict.fromkeys(NOT_AWAITABLE, ("await", "Which of these can be awaited? `async with lock:`.")),
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


@exercise("04-lock")
@quietly
def lock(answer: Any) -> str:
    """Check a class whose `push` updates what others update too."""
    demand_class(answer)
    demand(hasattr(answer, "push"), "kind", f"`{answer.__name__}` has no method `push`.")
    push = answer.push
    check_kind(push, True)
    given = _AsGiven.push.__code__.co_code == push.__code__.co_code
    is_init_given = _AsGiven.__init__.__code__.co_code == _code(answer.__init__)
    demand(not (given and is_init_given), "open", "as it stands updates get lost: mend it")
    _refuse_thread_locks(answer, push)
    for seed in range(1, 4):
        server = Server(seed)
        seconds = play(_push_all, answer, server, of=push, hints=_LOCK_HINTS).seconds
        _judge_pushes(answer, server, seconds)
    _judge_broken(answer, push)
    return "no update is lost, the loading overlaps, and an error releases the lock."


def _code(function: Any) -> bytes:
    return getattr(getattr(function, "__code__", None), "co_code", b"")


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
    """Return the names that the methods use, `__init__` left out."""
    return names_of(*(method for name, method in vars(make).items() if name != "__init__"))


def _refuse_thread_locks(make: type, push: Callable[..., Any]) -> None:
    """Say so before anything runs: it would hang, and could not be ended."""

    async def scene() -> Any:
        return make(Server(seed=0))

    trainer = play(scene, of=push).result
    kept = [*getattr(trainer, "__dict__", {}).values(), *vars(make).values()]
    kept += [push.__globals__.get(name) for name in _names(make)]
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
    demand(all_loaded, "calls", shown, "One `push`, one gradient.")
    if server.params != server.right:
        _explain_loss(make, server)
    in_sequence_s = sum(server.load_s) + UPDATE_S * len(server.load_s)
    shown = f"no update is lost, but it took {seconds:.1f} s, and {right_s:.1f} s are enough."
    why = "What is slow in `push`, and does it need the lock?"
    more = "`load_gradient` neither reads nor writes what is shared: call it before the lock."
    demand(seconds < in_sequence_s - 1e-6, "serial", shown, why, more)
    demand(seconds < right_s + TRIP_S / 2, "slow", shown, "What waits for what, and must it?")


def _explain_loss(make: type, server: Server) -> None:
    _demand_puts(server)
    shown = f"in the end the parameter is {server.params}, expected was {server.right}: "
    is_lost = server.right < server.params < server.first
    demand(is_lost, "value", shown + "no lost update explains that.", "Put `params - gradient`.")
    shown += "updates were lost."
    names, locks = _names(make), server.locks()
    is_own = bool(names & {"Lock", "Semaphore"})
    why = "Each `push` makes a lock of its own, and no other push ever waits for that."
    demand(not is_own, "own-lock", shown, why, _IN_INIT)
    is_wide = any(isinstance(lock, asyncio.Semaphore) for lock in locks)
    demand(not is_wide, "semaphore", shown, "How many does your semaphore let in at a time?")
    why = "Who may read between your `get` and your `put`? A `sleep` there only lets others in."
    demand(bool(locks), "no-lock", shown, why, _IN_INIT + " Around which lines?")
    both = "Put `get` and `put` into one `async with self.lock:`."
    held = server.held
    why = "The lock is not held when `get` reads. Is what it read still true at the `put`?"
    demand(held["get"][0], "read-outside", shown, why, both)
    why = "The lock is not held when `put` writes. What may have happened since the `get`?"
    demand(held["put"][0], "write-outside", shown, why, both)
    why = "The lock is held at the `get` and at the `put`. All the time between them, too?"
    raise Wrong("two-blocks", shown, why, both)


def _demand_puts(server: Server) -> None:
    gets, puts = len(server.held["get"]), len(server.held["put"])
    shown = f"`get` ran {gets} times, and `put` never."
    demand(puts > 0 or gets == 0, "no-put", shown, "Is it called, and is the call awaited?")


def _judge_broken(make: type, push: Callable[..., Any]) -> None:
    server = Server(seed=4)
    server.broken_puts = 1

    async def scene() -> list[Any]:
        server.trainer = make(server)
        return await asyncio.gather(*_pushes(server), return_exceptions=True)

    errors = list(filter(None, play(scene, of=push, hints=_LOCK_HINTS).result))
    shown = "the server once did not answer a `put`, and no ConnectionError came out of `push`."
    why = "The update is lost, and nothing says so. Let errors out."
    demand(any(isinstance(error, ConnectionError) for error in errors), "swallowed", shown, why)
    shown = f"one `put` failed, and {len(errors)} pushes raised."
    demand(len(errors) == 1, "spread", shown, "One error concerns one `push`.")


# ---- 04-owner ----
_OWNER_HINTS: Hints = {
    "QueueEmpty": (
        "empty",
        "`get_nowait` does not wait: it raises where nothing is there yet.",
        "`gradient = await queue.get()` waits until something comes.",
    ),
    "'coroutine'": ("await", "`get` only makes a coroutine: `await` it."),
    "'NoneType'": ("none", "None is no gradient: it says that no more will come. Ask for it."),
    "waits for Queue.get": (
        "no-end",
        "After None nothing more comes.",
        "`if gradient is None: return`, before anything is done with it.",
    ),
    "Queue": (  # the last: other messages name it too
        "queue",
        "A queue is no list: ask it for one thing after the other, in a loop.",
        "`gradient = await queue.get()`",
    ),
}


@exercise("04-owner")
@quietly
def owner(answer: Any) -> str:
    """Check a task that alone updates what others want updated."""
    check_kind(answer, True)
    for seed in range(1, 4):
        server = Server(seed)
        ended_s, closed_s = play(_send_all, answer, server, of=answer, hints=_OWNER_HINTS).result
        _judge_owner(server, ended_s, closed_s)
    return "one task reads and writes, one update after the other: no lock, and nothing is lost."


async def _send_all(own: Any, server: Server) -> tuple[float, float]:
    """Let workers send gradients, then None; return when the owner ended, and when None came."""
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    loop, ended_s = asyncio.get_running_loop(), list[float]()

    async def work(number: int) -> None:
        queue.put_nowait(await server.load_gradient(number))

    async def run() -> None:
        await own(queue, server)
        ended_s.append(loop.time())

    task = asyncio.create_task(run(), name="own")
    loop.call_later(0.1, queue.put_nowait, 0)  # a gradient like any other, and no end
    await asyncio.gather(*[work(number) for number in range(len(server.gradients))])
    queue.put_nowait(server.gradients[0])  # two at once
    queue.put_nowait(None)
    closed_s = loop.time()
    await task
    await asyncio.sleep(60)  # what it left running may end
    return ended_s[0], closed_s


def _judge_owner(server: Server, ended_s: float, closed_s: float) -> None:
    right, puts = server.right - server.gradients[0], len(server.put_at)
    shown = f"it ended after {ended_s:.1f} s, and the last gradient came at {closed_s:.1f} s."
    why = "A queue that is empty now may have something later. What says that no more comes?"
    more = "Go on until you get None; 0 is a gradient like any other."
    demand(ended_s >= closed_s - 1e-9, "too-soon", shown, why, more)
    if server.params != right:
        _demand_puts(server)
    shown = f"in the end the parameter is {server.params}, expected was {right}."
    is_late = bool(puts) and max(server.put_at) > ended_s + 1e-9
    is_crowd = server.at_once > 1 and server.params != right and len(server.held["get"]) == puts
    seen = f"{shown} Updates were still under way when it had ended." if is_late else shown
    why = "Did you start a task for each gradient? Only one task is to read and write."
    more = "Await `get` and `put` in `own` itself."
    demand(not (is_late or is_crowd), "at-once", seen, why, more)
    why = "Take each gradient off the queue once, and `put` the parameters minus the gradient."
    demand(server.params == right, "value", f"{shown} There were {puts} puts.", why)
    shown = "all the updates were made in the end, after None."
    why = "Until then, readers of the parameters see none of them. Apply each as it comes."
    demand(min(server.put_at) < closed_s, "hoards", shown, why)
