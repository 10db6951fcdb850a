"""The exercises of lesson 09.

A loop that loads ahead, five bets on its pace, how far ahead, early stopping, a stop between two
steps, the switch interval, a snapshot, and a run that goes on after a kill.
"""

import asyncio
import inspect
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises import Wrong, answers, exercise, ours
from asyncml.course.exercises.attempts import attempt, check_kind, is_stub
from asyncml.course.exercises.endings import judge_early, judge_resume
from asyncml.course.exercises.feeders import Uneven, judge_feeder
from asyncml.course.exercises.scenes import (
    NOT_AWAITABLE,
    Hints,
    check_plain,
    demand,
    heart,
    play,
    quietly,
)
from asyncml.failures import shorten
from asyncml.network.optimizers import SGD, Adam, Optimizer
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline


# ---- 09-feeder ----
@exercise("09-feeder", ours=ours.train_ahead)
@quietly
def feed_ahead(answer: Any) -> str:
    """Check a training loop that loads while it trains."""
    check_kind(answer, True)
    judge_feeder(answer)
    return "loading and training overlap, never more than `ahead` are held, and errors get out."


# ---- 09-pace ----
_PACE = {
    "as it is": (60, "sum", "While one batch is trained on, the next is loading. Who is last?"),
    "the trainer twice as fast": (60, "trainer", "Does a batch come any sooner than before?"),
    "eight ahead": (60, "deeper", "There is room for eight. Who fills it, and how fast?"),
    "two loads at once": (40, "two-loads", "A batch comes every 30 ms. Who needs longer?"),
    "two loads at once, the trainer twice as fast": (
        30,
        "both",
        "The trainer could do it in 20 ms. How often does a batch come?",
    ),
}


@exercise("09-pace")
def pace(answer: Any) -> str:
    """Check five bets on how often a pipeline takes a step."""
    answers.demand_each([answer], "a number")
    answers.demand_keys(
        answer, _PACE, "the answer is the dictionary as it was, with numbers in it."
    )
    answers.demand_each(answer.values(), "a number")
    for name, (right, code, why) in _PACE.items():
        bet = answer[name]
        shown = f"{name}: the answer is a number of milliseconds, got {bet!r}."
        demand(answers.is_number(bet), "kind", shown)
        if abs(bet - right) > 1e-6:
            demand(not 0 < bet < 1, "unit", f"{name}: not {bet:g}.", "In milliseconds.")
            shown = f"{name}: not {bet:g} ms."
            demand(bet <= 100, "whole-run", shown, "From one step to the next, not the whole run.")
            more = f"{why} A step comes every max(load / k, train), with k loads at once."
            raise Wrong(code, shown, why, more)
    return "the slower side sets the pace, and only a change of that side shows."


# ---- 09-ahead ----
_MOST, _SLACK = 64, 1.02


class _Jitter(Uneven):
    """Uneven loads, and how far ahead is enough for them."""

    def run(self, ahead: int) -> float:
        """Return the seconds that the run takes with so many batches ahead."""
        if not (isinstance(ahead, int | np.integer) and 0 <= ahead <= _MOST):
            raise ValueError(f"`ahead` must be a whole number from 0 to {_MOST}, got {ahead!r}")
        return self.seconds(int(ahead))

    @property
    def best(self) -> int:
        """The fewest ahead that are enough."""
        enough = _SLACK * self.run(_MOST)
        return next(ahead for ahead in range(_MOST + 1) if self.run(ahead) <= enough)


def _runs() -> Iterator[_Jitter]:
    """One where one is enough, four where it takes more, and one where none is needed."""
    chance = random.Random(9)
    yield _Jitter([0.03] * 60, 0.04)
    for mean_s in (0.03, 0.036, 0.05):
        yield _Jitter([chance.uniform(0, 2 * mean_s) for _ in range(60)], 0.04)
    yield _Jitter([0.25 if chance.random() < 0.1 else 0.01 for _ in range(80)], 0.04)
    yield _Jitter([0.0] * 60, 0.04)


@exercise("09-ahead")
@quietly
def choose_ahead(answer: Any) -> str:
    """Check a function that finds the fewest batches ahead that are enough."""
    check_plain(answer)
    for jitter in _runs():
        found = attempt(answer, jitter.run, is_async=False).result
        answers.demand_returned(found)
        is_whole = isinstance(found, int | np.integer) and not isinstance(found, bool)
        why = "How far ahead, and not how long it takes: that is what `run` returns."
        demand(is_whole, "kind", f"it returned {found!r:.40}, and not a whole number.", why)
        _judge_ahead(jitter, int(found))
    return "the fewest that are enough: in the six runs tried, between 0 and 11."


def _judge_ahead(jitter: _Jitter, found: int) -> None:
    best = jitter.best
    if found == best:
        return
    demand(0 <= found <= _MOST, "range", f"{found} is not between 0 and {_MOST}.")
    seen, least, enough = jitter.run(found), jitter.run(_MOST), jitter.run(best)
    more = "Go up from 0 one by one, and return the first that takes at most 1.02 * run(64)."
    if found > best:
        shown = f"{found} ahead take {seen:.2f} s, and {best} take {enough:.2f} s: enough as well."
        raise Wrong("bigger", shown, "Bigger is not faster, and each lies in memory.", more)
    shown = f"{found} ahead: {seen:.3f} s; 64: {least:.3f} s; 2 % more: {_SLACK * least:.3f} s."
    if found == 0:
        raise Wrong("zero", shown, "With none ahead, each load waits for the step before.", more)
    why = "A slow load empties the shelf sooner than it is filled again."
    raise Wrong("too-few", shown, why, more)


# ---- 09-early ----
@exercise("09-early", ours=ours.stop_early)
@quietly
def stop_in_time(answer: Any) -> str:
    """Check a loop that stops when its scores have not improved for some epochs."""
    check_kind(answer, True)
    judge_early(answer)
    return "one score an epoch, and it stops as soon as patience is used up, not before."


# ---- 09-stop ----
_STEP_S = 0.1
_STOP_HINTS: Hints = {
    "object is not callable": (
        "not-called",
        "A thread calls the function itself: `asyncio.to_thread(train_step)`.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE,
        (
            "await-plain",
            "`train_step` is a plain function: a thread can run it, and that can be awaited.",
            "`await asyncio.to_thread(train_step)`.",
        ),
    ),
}


class _Bench:
    """A training that somebody wants to stop, and a heart that beats beside it."""

    def __init__(self, epochs: int, steps: int, stop_at_s: float | None) -> None:
        self.epochs, self.steps, self.stop_at_s = epochs, steps, stop_at_s
        self.began: list[float] = []
        self.lags: list[float] = []
        self.ended_s = 0.0
        self.jobs = self.running = self.at_once = 0

    async def run(self, train: Callable[..., Any]) -> Any:
        loop = self.loop = asyncio.get_running_loop()
        stop, submit = asyncio.Event(), loop.run_in_executor
        if self.stop_at_s == 0:
            stop.set()
        elif self.stop_at_s is not None:
            loop.call_later(self.stop_at_s, stop.set)

        def counted(*args: Any) -> Any:
            self.jobs += 1
            return submit(*args)

        loop.run_in_executor = counted  # type: ignore[method-assign, assignment]
        async with heart(self.lags, 0.03, beats=300):
            await asyncio.sleep(0)
            result = await train(self.step, self.epochs, self.steps, stop)
            self.ended_s = loop.time()
            await asyncio.sleep(0.5)  # what has been left running shows now
        return result

    def step(self) -> None:
        self.began.append(self.loop.time())
        self.running += 1
        self.at_once = max(self.at_once, self.running)
        compute(_STEP_S)
        self.running -= 1


@exercise("09-stop")
@quietly
def stop_between_steps(answer: Any) -> str:
    """Check a training that ends between two steps when it is told to."""
    check_kind(answer, True)
    chance = random.Random(3)
    stops = [None, 0.23, 0.0, 0.65 + chance.randint(0, 3) / 10]
    for number, stop_at_s in enumerate(stops):
        bench = _Bench(2 + number % 2, chance.randint(5, 7), stop_at_s)
        _judge_stop(bench, play(bench.run, answer, of=answer, hints=_STOP_HINTS).result)
    return "whole steps, none after the stop, and the loop was free all the time."


def _judge_stop(bench: _Bench, found: Any) -> None:
    done, total, stop_s = len(bench.began), bench.epochs * bench.steps, bench.stop_at_s
    shown = f"{bench.at_once} steps ran at once, and there is one model."
    demand(bench.at_once < 2, "at-once", shown, "Await each step before the next one begins.")
    late = [at for at in bench.began if stop_s is not None and at >= (stop_s and stop_s + 1e-6)]
    left = [at for at in bench.began if at > bench.ended_s - _STEP_S + 1e-6]
    shown = f"it returned at {bench.ended_s:.2f} s, and a step was still running."
    demand(not left, "left-running", shown, "A thread works on. `await` its step to the end.")
    if (late_s := max(bench.lags, default=0.0)) > 0.03:
        shown = f"a heart beside it beat {late_s * 1000:.0f} ms late."
        why = "Nobody can press stop while the loop computes. Who should compute instead?"
        more = "`await asyncio.to_thread(train_step)` for each step."
        raise Wrong("on-the-loop", shown, why, more)
    if late:
        _refuse_late(bench, len(late))
    if stop_s is None:
        why = "Nobody set `stop`, so all steps of all epochs are to be done."
        why = why if done else "Is each step awaited, and `stop.is_set()` written with its `()`?"
        demand(done == total, "count", f"{done} steps were done, not {total}.", why)
    possible = int(stop_s / _STEP_S) + 1 if stop_s else 0
    shown = f"by {stop_s} s {possible} steps of {_STEP_S} s could have begun, and {done} did."
    demand(done >= possible, "slow", shown, "What else does it wait for?")
    demand(found is not None, "no-return", "it returned None.", "The number of steps is asked for.")
    why = "Each step that was done counts as one, the last one too."
    demand(found == done, "count", f"it returned {found!r:.40}, and did {done} steps.", why)


def _refuse_late(bench: _Bench, late: int) -> None:
    shown = f"stop at {bench.stop_at_s} s, and {late} more began after it."
    if late == 1 and not bench.stop_at_s:
        raise Wrong("looks-late", shown, "Ask `stop.is_set()` before the first step, too.")
    if 0 < bench.jobs < len(bench.began):
        why = "The thread was given many steps in one go, and does not look up in between."
        more = "Let the thread do one step at a time, and look at `stop` before each."
        raise Wrong("whole-epoch", shown, why, more)
    if len(bench.began) == bench.epochs * bench.steps and late > bench.steps:
        why = "Who looks whether `stop` is set?"
        raise Wrong("never-looks", shown, why, "`if stop.is_set(): return ...` before each step.")
    if len(bench.began) % bench.steps == 0:
        why = "It went on to the end of the epoch. How often is `stop` looked at?"
        raise Wrong("once-an-epoch", shown, why, "In the inner loop, before each step.")
    why = "Which loop does it leave, when it finds `stop` set?"
    raise Wrong("late", shown, why, "`break` leaves only the inner loop: `return` leaves both.")


# ---- 09-interval ----
@exercise("09-interval", ours=ours.switch_interval)
@quietly
def set_interval(answer: Any) -> str:
    """Check a context manager that sets the switch interval and puts it back."""
    answers.demand_given(answer, "your answer")
    shown = f"a function was expected, got {shorten(answer)}."
    demand(callable(answer), "kind", shown, "Without the `()`?")
    inner = inspect.unwrap(answer)
    name = getattr(inner, "__name__", "it")
    demand(not is_stub(inner), "open", f"write the body of `{name}` in place of the `...`")
    before = sys.getswitchinterval()
    try:
        play(_use_interval, answer, of=answer, hints=_INTERVAL_HINTS)
    finally:
        sys.setswitchinterval(before)
    return "set for the time of the block, and put back, after an error as well."


_INTERVAL_HINTS: Hints = {
    "does not support the context manager protocol": (
        "no-context",
        "What makes a generator function work in a `with`?",
        "`@contextlib.contextmanager` above its `def`.",
    ),
    "generator didn't yield": ("no-yield", "The block runs where you `yield`."),
    "generator didn't stop": ("yields-twice", "There is one block, so one `yield`."),
    "object is not an iterator": ("no-yield", "The block runs where you `yield`."),
}


def _use_interval(interval: Callable[..., Any]) -> None:
    for usual_s, asked_s in (0.005, 0.001), (0.007, 0.0001), (0.002, 0.02):
        sys.setswitchinterval(usual_s)
        with interval(asked_s):
            inside_s = sys.getswitchinterval()
        shown = f"asked for {asked_s} s; in the block it was {inside_s:g} s."
        demand(_is_near(inside_s, asked_s), "not-set", shown, "Set it before the `yield`.")
        _judge_after(usual_s, "put-back", "after the block", "Who puts it back?")
        got_out = True
        try:
            with interval(asked_s):
                raise ZeroDivisionError
            got_out = False
        except ZeroDivisionError:
            pass
        why = "What runs after an error as well?"
        _judge_after(usual_s, "after-error", "after an error in the block", why)
        shown = "an error in the block was swallowed."
        demand(got_out, "swallows", shown, "Let it out: `try` with `finally`, without `except`.")


def _judge_after(usual_s: float, code: str, when: str, why: str) -> None:
    after_s = sys.getswitchinterval()
    shown = f"it was {usual_s} s before, and {after_s:g} s {when}."
    if not _is_near(after_s, usual_s):
        more = "Note `sys.getswitchinterval()` first, and set that again in a `finally`."
        if _is_near(after_s, 0.005):
            raise Wrong("hard-coded", shown, "5 ms is only the default. What was it before?", more)
        raise Wrong(code, shown, why, more)


def _is_near(found_s: float, right_s: float) -> bool:
    return abs(found_s - right_s) < 2e-6  # it is kept in whole microseconds


# ---- 09-snapshot ----
_KEYS = ("params", "optimizer", "data")
_FORGOTTEN = {
    "params": "What has the training learnt so far?",
    "optimizer": "The next step depends on what the optimiser remembers: `optimizer.state()`.",
    "data": "Which batches come next, and in which order? `pipeline.state_dict()` knows.",
}


class _Course:
    """A small training, whose steps can be counted off."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        x = chance.standard_normal((8, 4, 3)).astype(np.float32)
        batches = [(part, chance.integers(0, 3, 4)) for part in x]
        self.model = MLP([3, 4, 3], seed=seed)
        is_adam = seed % 2
        self.optimizer: Optimizer = (
            Adam(self.model, lr=0.05) if is_adam else SGD(self.model, lr=0.05, momentum=0.9)
        )
        self.pipeline = Pipeline(batches).shuffle(8, seed=seed)

    async def steps(self) -> Any:
        for _ in range(2):  # what is left of this epoch, and the next one
            async for x, y in self.pipeline:
                self.model.loss_and_grads(x, y)
                self.optimizer.step()
                yield


@exercise("09-snapshot")
@quietly
def take_snapshot(answer: Any) -> str:
    """Check a snapshot from which a run goes on as if it had never stopped."""
    check_plain(answer)
    for seed, stop_after in (1, 5), (2, 3):
        play(_interrupt, answer, seed, stop_after, of=answer)
    return "a run that goes on from it ends with the weights of the run never stopped."


async def _interrupt(snapshot: Callable[..., Any], seed: int, stop_after: int) -> None:
    course, done, kept = _Course(seed), 0, None
    async for _ in course.steps():
        done += 1
        if done == stop_after:
            before = course.model.params.copy()
            kept = snapshot(course.model, course.optimizer, course.pipeline)
            is_same = np.array_equal(before, course.model.params)
            demand(is_same, "changed", "taking the snapshot has changed the model.")
            _judge_parts(kept, course)
    again = _Course(seed)
    _put_back(kept, again)
    async for _ in again.steps():
        pass
    shown = "a run that goes on from it ends with other weights than the run never stopped."
    why = "Are the values those of the moment when the snapshot was taken?"
    demand(np.array_equal(course.model.params, again.model.params), "other", shown, why)


def _judge_parts(kept: Any, course: _Course) -> None:
    answers.demand_returned(kept)
    shown = f"it returned {type(kept).__name__}, and not a dict with the keys {', '.join(_KEYS)}."
    demand(isinstance(kept, dict), "kind", shown)
    for key in _KEYS:
        code = "shuffle" if key == "data" else key
        shown = f"there is nothing under the key {key!r}."
        demand(kept.get(key) is not None, f"{code}-forgotten", shown, _FORGOTTEN[key])
    live, found = course.optimizer.state(), kept["optimizer"]
    shown = f"`params` is of type {type(kept['params']).__name__}, and not an array."
    demand(isinstance(kept["params"], np.ndarray), "kind", shown)
    has_names = isinstance(found, dict) and set(found) == set(live)
    shown = f"`optimizer` does not hold the arrays {', '.join(sorted(live))}."
    why = "`optimizer.state()` returns a dictionary of arrays: keep all of them, by their names."
    demand(has_names, "optimizer-kind", shown, why)
    shown = f"`data` is of type {type(kept['data']).__name__}, and not a state."
    demand(isinstance(kept["data"], dict), "data-kind", shown, "`pipeline.state_dict()` is one.")
    _judge_copies(kept, live, course)


def _judge_copies(kept: dict[str, Any], live: dict[str, Any], course: _Course) -> None:
    shown = "`params` is the model's own array: the next step changes the snapshot as well."
    why = "A name is no copy. What makes one of an array?"
    is_own = not np.shares_memory(kept["params"], course.model.params)
    demand(is_own, "reference", shown, why, "`model.params.copy()`.")
    for name, array in live.items():
        is_own = not np.shares_memory(kept["optimizer"][name], array)
        shown = f"the optimiser's {name!r} is its own array: the next step changes it as well."
        why = "A copy of the dictionary still holds the same arrays."
        more = "Copy each: `{name: array.copy() for name, array in optimizer.state().items()}`."
        demand(is_own, "reference-optimizer", shown, why, more)


def _put_back(kept: Any, course: _Course) -> None:
    try:
        course.model.params = kept["params"]
        for name, array in course.optimizer.state().items():
            array[...] = kept["optimizer"][name]
        course.pipeline.load_state_dict(kept["data"])
    except (KeyError, TypeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        raise Wrong("not-whole", f"it could not be put back: {text}.") from None


# ---- 09-resume ----
@exercise("09-resume", ours=ours.train_on)
@quietly
def go_on_after_a_kill(answer: Any) -> str:
    """Check a training run that goes on from its newest checkpoint."""
    check_kind(answer, True)
    judge_resume(answer)
    return "killed four times in two runs, and each ended with the weights of one never stopped."
