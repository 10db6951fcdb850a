"""The machinery of the exercises: every answer gets a verdict, whatever it does."""

import asyncio
import functools
import importlib
import inspect
import time
from pathlib import Path
from time import sleep as nap

import numpy as np
import pytest

from asyncml.course import exercises
from asyncml.course.exercises import Verdict, Wrong, attempts, check, exercise, expect, plain
from asyncml.course.exercises.attempts import attempt


@pytest.fixture(autouse=True)
def _first_failures(monkeypatch):
    monkeypatch.setattr(exercises, "_failures", exercises.Counter())


async def stub(x): ...


async def told_stub(x):
    """Return x."""
    ...


def not_async(x):
    return 1


async def generator(x):
    yield 1


async def constant(x):
    return 1


async def right(x):
    await asyncio.sleep(1)
    return x


async def blocks(x):
    time.sleep(1)  # noqa: ASYNC251
    return x


async def blocks_by_another_name(x):
    nap(1)  # noqa: ASYNC251


async def spins(x):
    while True:
        pass


async def waits_again_and_again(x):
    for _ in iter(int, 1):
        await asyncio.sleep(1)


async def spins_in_a_callback(x):
    def spin():
        while True:
            pass

    asyncio.get_running_loop().call_soon(spin)
    await asyncio.sleep(1)


async def waits_for_nobody(x):
    await asyncio.Event().wait()


async def divides(x):
    return x / 0


async def says_two_lines(x):
    raise ValueError(f"first\n  second {object()}")


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (..., "open", "in place of the `...`"),
        (None, "open", "in place of the `...`"),
        (stub, "open", "write the body of `stub`"),
        (told_stub, "open", "write the body of `told_stub`"),
        (3, "kind", "got 3"),
        (not_async, "kind", "`not_async` must be an `async def`"),
        (says_two_lines, "raised", "ValueError: first second <object object>"),
        (generator, "kind", "`generator` has a `yield` in it"),
        (blocks, "blocking", "held the whole event loop for 1 s"),
        (blocks_by_another_name, "blocking", "held the whole event loop for 1 s"),
        (spins, "endless", "still running after 0.15 s"),
        (waits_again_and_again, "endless", "still running after 0.15 s"),
        (spins_in_a_callback, "endless", "still running after 0.15 s"),
        (waits_for_nobody, "deadlock", "waits for Event.wait in test_exercises.py"),
        (divides, "raised", "ZeroDivisionError: division by zero on line"),
    ],
)
@pytest.mark.untidy
# the exception that ends an endless answer may hit a callback of the interpreter, which drops it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failure_is_taken_for_what_it_usually_means(answer, code, words, monkeypatch, caplog):
    if code == "endless":  # on a busy machine any other answer may need longer
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.15)
    with pytest.raises(Wrong) as caught:
        attempt(answer, 5)
    assert caught.value.code == code
    assert words in caught.value.message
    assert not caplog.records  # a verdict, and no traceback before it


def test_a_right_answer_is_run_in_virtual_time():
    done = attempt(right, 5)
    assert (done.result, done.seconds, done.error) == (5, 1, None)
    assert done.timeline is not None
    assert attempt(constant, 5).result == 1
    assert attempt(not_async, 5, is_async=False).result == 1


def test_what_may_be_is_let_through():
    assert attempt(blocks, 5, may_block=True).seconds == 1
    assert isinstance(attempt(divides, 5, may_raise=ZeroDivisionError).error, ZeroDivisionError)


def test_sleeping_in_a_worker_thread_blocks_nobody():
    async def in_a_thread(x):
        await asyncio.to_thread(time.sleep, x)

    assert attempt(in_a_thread, 2).seconds == 2


def test_a_plain_function_that_sleeps_is_seen_at_once():
    def sleeps(x):
        time.sleep(3600)

    with pytest.raises(Wrong) as caught:
        attempt(sleeps, 5, is_async=False)
    assert caught.value.code == "blocking"


def test_sleep_is_put_back():
    before = time.sleep
    with pytest.raises(Wrong):
        attempt(blocks_by_another_name, 5)
    assert (time.sleep, nap) == (before, before)


def test_a_verdict_is_one_line_with_a_code():
    assert repr(Verdict("01-bet", "passed", "2.0 s")) == "✔ 01-bet passed: 2.0 s"
    assert repr(Verdict("01-bet", "open", "say a number")) == "○ 01-bet open: say a number"
    assert repr(Verdict("01-bet", "early", "not 1.")) == "✘ 01-bet early: not 1."
    ours = Verdict("01-bet", "passed", "2.0 s", is_solution=True)
    assert repr(ours) == "◆ 01-bet the solution passes: 2.0 s"


def test_the_second_failure_gets_a_fuller_hint(monkeypatch):
    monkeypatch.setattr(exercises, "load", lambda name: None)
    monkeypatch.setattr(exercises, "CHECKS", {})

    @exercise("99-bet")
    def bet(answer):
        if answer is ...:
            raise Wrong("open", "say a number")
        if answer != 2:
            raise Wrong("other", f"not {answer}.", "What waits?", "Both wait: 1 + 1.")
        return "2 it is"

    said = [str(check("99-bet", answer)) for answer in (..., 1, ..., 3, 2)]
    assert said == [
        "○ 99-bet open: say a number",
        "✘ 99-bet other: not 1. What waits?",
        "○ 99-bet open: say a number",
        "✘ 99-bet other: not 3. Both wait: 1 + 1.",
        "✔ 99-bet passed: 2 it is",
    ]


class Broken:
    """An object that raises whatever is done to it."""

    def _refuse(self, *others):
        raise ArithmeticError("no")

    __repr__ = __str__ = __eq__ = __bool__ = __len__ = __iter__ = __hash__ = __lt__ = _refuse
    __float__ = __int__ = __index__ = __sub__ = __rsub__ = __contains__ = __getitem__ = _refuse


class BrokenText(str):
    __repr__ = __str__ = Broken._refuse


class BrokenInt(int):
    __repr__ = __eq__ = Broken._refuse
    __hash__ = int.__hash__


class BrokenList(list):
    __iter__ = __len__ = __repr__ = Broken._refuse


class Unsayable(Exception):
    __str__ = Broken._refuse


class Leaves:
    def __repr__(self):
        raise SystemExit


def nested(depth):
    """Return lists nested in lists."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def in_itself():
    """Return a list that contains itself."""
    value = []
    value.append(value)
    return value


async def unasked(*args):
    return 1


async def gives_one():
    yield 1


ZOO = [
    *(lambda: None, lambda: ..., lambda: True, lambda: "x", lambda: "", lambda: b"x", dict, set),
    *(lambda: 10**400, lambda: -(10**400), lambda: 10**5000, lambda: [10**400] * 3, lambda: 1j),
    *(lambda: float("nan"), lambda: float("inf"), lambda: np.float64(2), lambda: np.int8(100)),
    *(lambda: np.arange(3), lambda: np.zeros((2, 2)), lambda: np.array([]), lambda: np.array(3)),
    *(lambda: np.array([Broken(), None], object), lambda: np.array(["a", "b", "c"])),
    *(Broken, lambda: BrokenText("ABC"), lambda: BrokenInt(3), lambda: BrokenList([1]), Leaves),
    *(lambda: [Broken(), 10**5000], lambda: {"a": Broken()}, lambda: (1, 2, 3), lambda: [[1], [2]]),
    *(lambda: nested(5000), in_itself, lambda: Broken, lambda: print, lambda: "x".join),
    *(lambda: ValueError, Unsayable, lambda: range(3), lambda: iter("abc"), unasked, gives_one),
    *(lambda: functools.partial(unasked), lambda: lambda: 1, lambda: lambda x: x),
]
NAMES = [path.stem[-2:] for path in Path(exercises.__file__).parent.glob("lesson_*.py")]


def every_exercise():
    for name in NAMES:
        importlib.import_module(f"asyncml.course.exercises.lesson_{name}")
    return sorted(exercises.CHECKS)


def raises(error):
    def function(*args, **options):
        raise error()

    return function


@pytest.mark.parametrize("name", every_exercise())
@pytest.mark.untidy
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # coroutines never awaited
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestNoAnswerRaises:
    @pytest.fixture(autouse=True)
    def _enough_time(self, monkeypatch):
        monkeypatch.setattr(attempts, "_LIMIT_S", 30)  # none of these is endless

    def judge(self, name, answer):
        verdict = check(name, answer)
        assert isinstance(verdict, Verdict)
        assert (type(verdict.code), type(verdict.message)) == (str, str)
        assert repr(verdict)
        if inspect.iscoroutine(answer):
            answer.close()

    def test_whatever_it_is(self, name):
        for make in ZOO:
            self.judge(name, make())

    def test_whatever_it_returns(self, name):
        place = sorted(exercises.CHECKS).index(name)
        for make in ZOO[place % 6 :: 6]:  # another sixth for each exercise: all for some

            async def waits(*args, make=make):
                return make()

            self.judge(name, waits)
            self.judge(name, lambda *args, make=make: make())

    def test_whatever_it_raises(self, name):
        for error in (Unsayable, ArithmeticError, SystemExit, GeneratorExit, StopIteration):
            self.judge(name, raises(error))


def test_a_value_that_cannot_be_shown_is_named(monkeypatch):
    assert check("01-bet", Broken()).message.startswith("the answer is a number, got <Broken ")
    assert check("01-parsons", Broken()).message == (
        "it cannot be judged: comparing or showing it raised ArithmeticError: no."
    )
    assert check("01-bet", 10**400).code == "other"


def test_the_stop_button_still_stops_a_check():
    class Stop:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("01-bet", Stop())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (np.arange(3), [0, 1, 2]),
        (np.array(3.5), 3.5),
        (np.float32(0.5), 0.5),
        ([np.int8(1), (np.bool_(True), "x")], [1, (True, "x")]),
        ({np.str_("a"): np.zeros(1)}, {"a": [0.0]}),
        ("abc", "abc"),
        (print, print),
        (None, None),
    ],
)
def test_arrays_are_taken_for_lists(answer, expected):
    found = plain(answer)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("01-bet", np.array(2)),
        ("05-k", np.array(3)),
        ("07-bound", np.array([5, 4, 20])),
        ("03-order", np.array("ccbaa")),
    ],
)
def test_an_array_that_is_right_is_right(name, answer):
    assert check(name, answer).code == "passed"


@pytest.mark.parametrize("name", ["99-none", "no", ""])
def test_an_unknown_exercise_is_an_error(name):
    with pytest.raises(ValueError, match="there is no exercise"):
        check(name, 1)


@pytest.mark.parametrize(
    ("answer", "code"),
    [(2, None), (2.0000001, None), (..., "open"), (1, "half"), ("2", "kind"), (3, "other")],
)
def test_a_bet_is_compared(answer, code):
    wrong = {1: ("half", "Do they overlap?")}
    if code is None:
        expect(answer, 2.0, wrong)
        return
    with pytest.raises(Wrong) as caught:
        expect(answer, 2.0, wrong, "Count the waits.")
    assert caught.value.code == code


def test_the_map_names_every_file():
    listed = {line.split()[0] for line in exercises.__doc__.splitlines() if line.startswith("    ")}
    files = {path.stem for path in Path(exercises.__file__).parent.glob("*.py")} - {"__init__"}
    assert {"lesson_NN" if name.startswith("lesson_") else name for name in files} == listed
