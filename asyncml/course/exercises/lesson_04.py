"""The exercises of lesson 04: bets, and lost updates, prevented by locks or by an owner."""

import asyncio
from typing import Any

from asyncml.course.exercises import exercise
from asyncml.course.exercises.answers import ask_number, is_number, read_list
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.locks import judge_lock
from asyncml.course.exercises.scenes import Hints, demand, play, quietly
from asyncml.course.exercises.servers import Server
from asyncml.course.exercises.tallies import judge_tally

# ---- 04-powers ----
_THINGS = ("a coroutine", "a task", "a thread", "a process")
_POWERS = ((-8, -7), (-6, -5), (-5, -4), (-2, -1))  # on most machines; each of them is accepted


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
    why = "Each of the four costs more than the one before: write them from cheap to dear."
    demand(bets == sorted(bets), "order", shown, why)
    for thing, bet, (low, high), why in zip(_THINGS, bets, _POWERS, _PRICE_HINTS, strict=True):
        shown = f"starting {thing} takes"
        demand(bet <= high, "too-dear", f"{shown} less than 10 ** {bet} s.", why)
        demand(bet >= low, "too-cheap", f"{shown} more than 10 ** {bet} s.", why)
    return "each power is a factor of ten, and six of them lie between a coroutine and a process."


_PRICE_HINTS = (
    "None of it runs yet: Python only makes an object.",
    "A few objects, a place in the loop's queue, a first step. The operating system is not asked.",
    "The operating system gives it a stack and finds it a core, but loads nothing from a disk.",
    "A new interpreter starts, and imports modules. How long does `python` take to start?",
)


# ---- 04-turns ----
_TURNS = (0, 0, 1000)
_TURN_HINTS = (
    "A coroutine that does not wait is run like a function. Does the loop come in between?",
    "The lock is free, so nothing waits for it. Does the loop come in between?",
    "`sleep(0)` is there to give others a turn: one each time.",
)


@exercise("04-turns")
def turns(answer: Any) -> str:
    """Check three bets on the number of turns that another task gets."""
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


_OF_ALL = "of-all", "That is the switches' share of the whole. How much do they add?"
ask_number(
    "04-switches",
    10,
    "2 µs on top of 20. For jobs of 2 ms it would be a tenth of one per cent.",
    "Each job has one switch. What does it add to 20 µs?",
    {
        0.1: ("share", "That is the share. In per cent?"),
        1.1: ("whole", "That is what it takes now, as a multiple. How many per cent more is it?"),
        110: ("whole", "That is what it takes now, in per cent of before. How much is added?"),
        **dict.fromkeys((100 / 11, 9.09, 9.1), _OF_ALL),
    },
)
ask_number(
    "04-total",
    110,
    "`a` overwrote `b`; then `c`, which had read before that, overwrote `a`: only +1 is lost.",
    "Write down the total at 1, 2, 3, 4, 5 and 6 s.",
    {
        111: ("all", "That is all three. Which of them writes without having seen the others?"),
        101: ("read-late", "Has `a` already written when `c` reads?"),
        100: ("read-early", "What had been written when `c` read?"),
        11: ("two", "Which of them writes last, and what had it read?"),
        1: ("not-last", "That is what `a` writes at 5 s. Does nobody write after that?"),
        10: ("not-last", "That is what `b` writes at 3 s. Who writes after that?"),
    },
)


@exercise("04-threads")
@quietly
def threads(answer: Any) -> str:
    """Check a counter that many threads update at once."""
    judge_tally(answer)
    return "no update is lost, predictions overlap, and an error releases the lock."


@exercise("04-lock")
@quietly
def lock(answer: Any) -> str:
    """Check a class whose `push` updates shared state."""
    judge_lock(answer)
    return "no update is lost, the loading overlaps, and an error releases the lock."


# ---- 04-owner ----
_OWNER_HINTS: Hints = {
    "QueueEmpty": (
        "empty",
        "`get_nowait` does not wait: it raises an error if nothing is there yet.",
        "`gradient = await queue.get()` waits until something comes.",
    ),
    "'coroutine'": ("await", "`get` only makes a coroutine: `await` it."),
    "'NoneType'": (
        "none",
        "`None` is not a gradient: it says that no more will come. Test for it first.",
    ),
    "waits for Queue.get": (
        "no-end",
        "Nothing more comes after None.",
        "`if gradient is None: return`, before anything is done with it.",
    ),
    "Queue": (  # last, because other messages contain it too
        "queue",
        "A queue is not a list: take one thing after another from it, in a loop.",
        "`gradient = await queue.get()`",
    ),
}


@exercise("04-owner")
@quietly
def owner(answer: Any) -> str:
    """Check a task that owns some state and makes all updates that others ask for."""
    check_kind(answer, True)
    for seed in range(1, 4):
        server = Server(seed)
        ended_s, closed_s = play(_send_all, answer, server, of=answer, hints=_OWNER_HINTS).result
        _judge_owner(server, ended_s, closed_s)
    return "one task reads and writes, one update after the other: no lock, and nothing is lost."


async def _send_all(own: Any, server: Server) -> tuple[float, float]:
    """Let workers send gradients, then None; return when the owner ended and when None was sent."""
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    loop, ended_s = asyncio.get_running_loop(), list[float]()

    async def work(number: int) -> None:
        queue.put_nowait(await server.load_gradient(number))

    async def run() -> None:
        await own(queue, server)
        ended_s.append(loop.time())

    task = asyncio.create_task(run(), name="own")
    loop.call_later(0.1, queue.put_nowait, 0)  # a gradient like any other, not the end
    await asyncio.gather(*[work(number) for number in range(len(server.gradients))])
    queue.put_nowait(server.gradients[0])  # two in a row, without a wait
    queue.put_nowait(None)
    closed_s = loop.time()
    await task
    await asyncio.sleep(60)  # so that anything left running can end
    return ended_s[0], closed_s


def _judge_owner(server: Server, ended_s: float, closed_s: float) -> None:
    right, puts = server.right - server.gradients[0], len(server.put_at)
    shown = f"it ended after {ended_s:.1f} s, and the last gradient came at {closed_s:.1f} s."
    why = "A queue that is empty now may have something later. What says that no more will come?"
    more = "Go on until you get None; 0 is a gradient like any other."
    demand(ended_s >= closed_s - 1e-9, "too-soon", shown, why, more)
    if server.params != right:
        server.demand_puts()
    shown = f"in the end the parameter is {server.params}, and {right} was expected."
    is_late = bool(puts) and max(server.put_at) > ended_s + 1e-9
    is_crowd = server.at_once > 1 and server.params != right and len(server.held["get"]) == puts
    seen = f"{shown} Updates were still under way when it ended." if is_late else shown
    why = "Did you start a task for each gradient? Only one task is to read and write."
    more = "Await `get` and `put` in `own` itself."
    demand(not (is_late or is_crowd), "at-once", seen, why, more)
    why = "Take each gradient off the queue once, and `put` the parameters minus the gradient."
    demand(server.params == right, "value", f"{shown} There were {puts} puts.", why)
    shown = "all the updates were made at the end, after None."
    why = "Until then, readers of the parameters see none of them. Apply each as it comes."
    demand(min(server.put_at) < closed_s, "hoards", shown, why)
