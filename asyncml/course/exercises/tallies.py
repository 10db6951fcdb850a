"""Judges a counter that many threads update, and says where its updates get lost; lesson 04.

The operating system may or may not switch threads at a bad moment. So the check chooses the moment:
it runs a second thread at each line, each read and each write of the first.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from asyncml.course.exercises import Wrong, said_by
from asyncml.course.exercises.answers import codes_of, demand_method, names_of
from asyncml.course.exercises.scenes import Hints, demand, hinting, refuse

_NEVER_S = 0.2  # seconds to wait for an event that may never come
_BLOCKED_S = 0.01  # seconds to wait for a thread that is blocked by a lock
_LIMIT_S = 3.0  # seconds to wait for an `add` that may never return
_MOST = 40  # the most moments of one `add` that are tried
_IN_INIT = "Write `self.lock = threading.Lock()` in `__init__`, and `with self.lock:` in `add`."
_HINTS: Hints = {
    "context manager": (
        "asyncio-lock",
        "An asyncio lock is for tasks of one loop. For threads there is `threading.Lock`.",
    )
}


class AsGiven:
    """The class as the lesson gives it."""

    def __init__(self, predict: Any, counts: Any) -> None:
        self.predict, self.counts = predict, counts

    def add(self, image: Any) -> None:  # noqa: D102 - as the notebook has it
        kind = self.predict(image)
        if kind not in self.counts:
            self.counts[kind] = 0
        self.counts[kind] = self.counts[kind] + 1


class _Counts(dict[Any, int]):
    """A dictionary that calls `tell` after each read and before each write."""

    def __init__(self, tell: Callable[[str], None] = lambda what: None) -> None:
        super().__init__()
        self.tell = tell

    def __contains__(self, key: Any) -> bool:
        found = super().__contains__(key)
        self.tell("read")
        return found

    def __getitem__(self, key: Any) -> int:
        found = super().__getitem__(key)
        self.tell("read")
        return found

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value or the default."""
        found = super().get(key, default)
        self.tell("read")
        return found

    def __setitem__(self, key: Any, value: int) -> None:
        self.tell("write")
        super().__setitem__(key, value)


def _locks_of(tally: Any) -> list[Any]:
    """Return an answer's locks: in the instance, its dicts, its class, or the methods' globals."""
    make = type(tally)
    methods = [each for each in vars(make).values() if hasattr(each, "__globals__")]
    kept = [*getattr(tally, "__dict__", {}).values(), *vars(make).values()]
    kept += [m.__globals__.get(name) for m in methods for name in names_of(m)]
    kept += [lock for one in kept if isinstance(one, dict) for lock in list(one.values())]
    return [each for each in kept if hasattr(each, "acquire") and not isinstance(each, type)]


def _are_held(locks: list[Any]) -> bool:
    """Return whether another thread would have to wait for one of the locks, by trying it."""
    held: list[bool] = []

    def try_all() -> None:
        for lock in locks:
            held.append(not lock.acquire(blocking=False))
            if not held[-1]:
                lock.release()

    trying = threading.Thread(target=try_all, name="tries", daemon=True)
    trying.start()
    trying.join(_LIMIT_S)
    return any(held)


class _Call:
    """One `add` in its own thread, which ends with the check."""

    def __init__(self, tally: Any, image: Any, tell: Callable[[str], None] | None = None) -> None:
        self.tally, self.image, self.tell = tally, image, tell
        self.error: BaseException | None = None
        self.is_over = False
        self.thread = threading.Thread(target=self._run, name="add", daemon=True)

    def _run(self) -> None:
        sys.settrace(self._trace)
        try:
            self.tally.add(self.image)
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in codes_of(*vars(type(self.tally)).values()):
            return None
        if self.is_over:
            raise SystemExit
        if event == "line" and self.tell:
            self.tell("line")
        return self._trace

    def finish(self, may_raise: bool = False) -> None:
        """Wait for the call to end; raise `Wrong` if it is stuck or has failed."""
        self.thread.join(_LIMIT_S)
        if self.thread.is_alive():
            self._end()
            why = "Does it wait for a lock that is never released?"
            more = "`with self.lock:` releases the lock however its block ends."
            raise Wrong("stuck", "an `add` was still running after some seconds.", why, more)
        if self.error is not None and not may_raise:
            with hinting(_HINTS):
                why = "`add` is called with one image, and returns nothing."
                raise Wrong("raised", f"`add` raised {said_by(self.error)}.", why)

    def _end(self) -> None:
        """End the thread at its next line, or by releasing the lock that it waits for."""
        self.is_over = True
        for lock in _locks_of(self.tally):
            with contextlib.suppress(Exception):  # only the holding thread can release an RLock
                lock.release()
        self.thread.join(_NEVER_S)


def judge_tally(answer: Any) -> None:
    """Raise `Wrong` unless no update is lost, predictions overlap, and an error frees the lock."""
    demand_method(answer, "add", AsGiven, is_async=False)
    _judge_one(answer)
    for moment in range(1, _MOST):
        if len(_judge_race(answer, moment)) < moment:
            break
    _judge_overlap(answer)
    _judge_error(answer)


def _made(make: type, predict: Any, counts: _Counts) -> Any:
    try:
        return make(predict, counts)
    except Exception as error:
        shown = f"`{make.__name__}(predict, counts)` raised {said_by(error)}."
        raise Wrong("raised", shown, "`__init__` takes these two, as in the class above.") from None


def _add(tally: Any, *images: Any, may_raise: bool = False) -> list[BaseException | None]:
    """Add each image in its own thread, all at the same time; return the errors."""
    calls = [_Call(tally, image) for image in images]
    for call in calls:
        call.thread.start()
    for call in calls:
        call.finish(may_raise)
    return [call.error for call in calls]


def _judge_one(make: type) -> None:
    counts, seen = _Counts(), list[Any]()

    def predict(image: Any) -> str:
        seen.append(image)
        return "shirt" if image else "coat"

    tally = _made(make, predict, counts)
    for image in (1, 0, 1):
        _add(tally, image)
    shown = f"`predict` was called for {seen!r:.60}, and once for each image was expected."
    demand(seen == [1, 0, 1], "predict", shown, "Call `self.predict(image)` once in each `add`.")
    found, right = dict(counts.items()), {"shirt": 2, "coat": 1}
    why = "Count in the dictionary that `__init__` is given."
    shown = f"one thread counted two shirts and a coat, and `counts` is {found!r:.60}."
    demand(found == right, "value" if found else "elsewhere", shown, why)


def _judge_race(make: type, moment: int) -> list[str]:
    """Run a second thread at one moment of the first; return all moments of the first."""
    predicted = threading.Event()
    told: list[str] = []

    def predict(image: Any) -> str:
        if image == "second":
            predicted.set()
        return "shirt"

    def tell(what: str) -> None:
        if threading.current_thread() is not first.thread:
            return
        told.append(what)
        if len(told) == moment:
            is_held = _are_held(_locks_of(tally))
            second.thread.start()
            # if it waits for a lock before it predicts, it never gets this far
            if predicted.wait(_NEVER_S if is_held else _LIMIT_S):
                second.thread.join(_BLOCKED_S if is_held else _LIMIT_S)

    counts = _Counts(tell)
    tally = _made(make, predict, counts)
    first, second = _Call(tally, "first", tell), _Call(tally, "second")
    first.thread.start()
    first.finish()
    if second.thread.ident is not None:
        second.finish()
        if dict.get(counts, "shirt") != 2:
            _explain_loss(make, dict.get(counts, "shirt"))
    return told


def _explain_loss(make: type, count: Any) -> None:
    held: dict[str, list[bool]] = {"read": [], "write": []}
    tally = _made(make, lambda _: "shirt", _Counts(lambda w: held[w].append(_are_held(locks))))
    locks = _locks_of(tally)
    is_own = bool(names_of(vars(make).get("add")) & {"Lock", "RLock", "Semaphore"})
    if locks and not is_own:
        _add(tally, "alone")
    reads, writes = held["read"], held["write"]
    both = "Put the test, the read and the write into one `with self.lock:`."
    own = "Each `add` makes a lock of its own, and no other thread ever waits for that."
    wide = "No lock keeps other threads out at a read or a write. Does `add` enter yours? And how "
    wide += "many threads does that let in at a time?"
    read = "The lock is not held at each read. Is what was read still true at the write?"
    write = "The lock is held at the read. What may have happened before the write?"
    refuse(
        f"two threads counted one shirt each, and `counts` says {count}.",
        (is_own, "own-lock", own, _IN_INIT),
        (not locks, "no-lock", "Between which two lines must no other thread run?", _IN_INIT),
        (not any(reads + writes), "wide", wide, _IN_INIT),
        (not all(reads), "read-outside", read, both),
        (not all(writes), "write-outside", write, both),
        (True, "two-blocks", "The lock is held at each step. Is it held between them, too?", both),
    )


def _judge_overlap(make: type) -> None:
    together, alone = threading.Barrier(2), list[Any]()

    def predict(image: Any) -> str:
        try:
            together.wait(_NEVER_S)
        except threading.BrokenBarrierError:
            alone.append(image)
        return "shirt"

    _add(_made(make, predict, _Counts()), 0, 1)
    shown = "no update is lost, but the threads predict one after the other."
    why = "`predict` is slow, and touches nothing that is shared. Does it need the lock?"
    demand(not alone, "serial", shown, why, "Call `self.predict(image)` before `with self.lock:`.")


def _judge_error(make: type) -> None:
    tally = _made(make, lambda image: image, _Counts())
    errors = _add(tally, ["no", "key"], may_raise=True)  # a list cannot be a key of a dictionary
    shown = "counting failed with a TypeError inside `add`, and no error came out of it."
    demand(errors != [None], "swallowed", shown, "Let errors out: nothing else reports them.")
    try:
        _add(tally, "shirt")
    except Wrong as wrong:
        if wrong.code != "stuck":
            raise
        shown = "an `add` raised an error, and the next one waited for ever."
        why = "What releases the lock if something between `acquire` and `release` raises?"
        more = "`with self.lock:` releases it however its block ends."
        raise Wrong("not-released", shown, why, more) from None
