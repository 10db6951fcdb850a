"""What a test, or a case of a test, must not leave behind, and the state it starts from."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asyncml.clock import Deadlock
from asyncml.course import exercises
from asyncml.course.exercises import standing

# a thread needs a moment to end
GRACE_S = 1.0


@contextmanager
def no_failures_yet() -> Iterator[None]:
    """Forget earlier verdicts: the second verdict on an exercise says more than the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "_failures", exercises.Counter())
        for what in ("_states", "_passed"):  # examples in docstrings depend on these
            patch.setattr(standing, what, {})
        yield


@contextmanager
def nothing_is_left(*, untidy: bool = False) -> Iterator[None]:
    """Fail if anything is left running; an untidy test may leave tasks, but no threads.

    asyncio.run and simulate cancel remaining tasks when the main coroutine ends, so a leak can only
    be seen there. Debug mode stays off: it makes every task several times slower.
    """
    before, interval_s = set(threading.enumerate()), sys.getswitchinterval()
    tasks: list[str] = []
    lost = _Errors()
    with pytest.MonkeyPatch.context() as patch:
        if not untidy:
            _watch_clean_up(patch, tasks)
            logging.getLogger("asyncio").addHandler(lost)
        try:
            yield
        finally:
            logging.getLogger("asyncio").removeHandler(lost)
            left = _running_threads(before)
            if sys.getswitchinterval() != interval_s:
                left.append(f"the switch interval is {sys.getswitchinterval()} s")
                sys.setswitchinterval(interval_s)
    if found := left + tasks + lost.messages:
        raise AssertionError("\n".join(found))


def _running_threads(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + GRACE_S
    while (threads := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.002)
    return [f"thread {thread.name!r} is still running" for thread in threads]


def _watch_clean_up(patch: pytest.MonkeyPatch, found: list[str]) -> None:
    cancel_all = asyncio.runners._cancel_all_tasks

    def watched(loop: asyncio.AbstractEventLoop) -> None:
        # these leave in the middle of the program, so its tasks are where they were
        if not isinstance(sys.exc_info()[1], Deadlock | KeyboardInterrupt):
            found.extend(f"{task!r} was left to be cancelled" for task in asyncio.all_tasks(loop))
        cancel_all(loop)

    patch.setattr(asyncio.runners, "_cancel_all_tasks", watched)


class _Errors(logging.Handler):
    """Keep what asyncio only logs: a destroyed task, an exception never retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
