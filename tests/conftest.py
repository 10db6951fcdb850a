"""After each test: no task, no thread, no setting, and no exception that nobody asked for."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncml.clock import Deadlock
from asyncml.course import exercises
from asyncml.course.exercises import standing

# the same examples in every run, so that a change is what turns a test red; `explore` looks further
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **QUIET)
settings.register_profile("explore", **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# a thread that has been told to end needs a moment
GRACE_S = 1.0


@pytest.fixture(scope="session", autouse=True)
def what_was_there_before_the_tests_is_frozen() -> None:
    """Keep the collector out of it: the checks of exercises collect garbage each time.

    Hypothesis makes its random state for its first test, and asks the collector who holds it; what
    is frozen is not looked through, and from Python 3.14 on it then warns: that test comes first.
    """
    _first_property()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Undo what `nohup`, and a shell for what runs in the background, do: they ignore SIGINT."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_failures_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin with the first verdict on an exercise: the second says more."""
    monkeypatch.setattr(exercises, "_failures", exercises.Counter())
    for what in ("_states", "_passed"):  # of which an example in a docstring tells
        monkeypatch.setattr(standing, what, {})


@pytest.fixture(autouse=True)
def nothing_is_left(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a test that leaves something running; `@pytest.mark.untidy` excuses tasks, not threads.

    asyncio.run and simulate cancel what is left when the main coroutine has ended, so a leak is
    seen there or nowhere. Debug mode is left off: it slows every task down several times.
    """
    before, interval_s = set(threading.enumerate()), sys.getswitchinterval()
    untidy = request.node.get_closest_marker("untidy")
    tasks: list[str] = []
    lost = _Errors()
    if not untidy:
        _watch_clean_up(monkeypatch, tasks)
        logging.getLogger("asyncio").addHandler(lost)
    yield
    logging.getLogger("asyncio").removeHandler(lost)
    deadline = time.monotonic() + GRACE_S
    while (threads := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.002)
    left = [f"thread {thread.name!r} is still running" for thread in threads]
    if sys.getswitchinterval() != interval_s:
        left.append(f"the switch interval is {sys.getswitchinterval()} s")
        sys.setswitchinterval(interval_s)
    assert not left + tasks + lost.messages


@given(st.none())
def _first_property(_: None) -> None: ...


def _watch_clean_up(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> None:
    cancel_all = asyncio.runners._cancel_all_tasks

    def watched(loop: asyncio.AbstractEventLoop) -> None:
        # these leave in the middle of the program, so its tasks are where they were
        if not isinstance(sys.exc_info()[1], Deadlock | KeyboardInterrupt):
            found.extend(f"{task!r} was left to be cancelled" for task in asyncio.all_tasks(loop))
        cancel_all(loop)

    monkeypatch.setattr(asyncio.runners, "_cancel_all_tasks", watched)


class _Errors(logging.Handler):
    """Keeps what asyncio can only log: a task destroyed, an exception never retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
