"""Scenes: a check's own code that uses an answer, watched as closely as the answer itself."""

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from asyncml.course.exercises import Wrong
from asyncml.course.exercises import demand as demand
from asyncml.course.exercises import refuse as refuse
from asyncml.course.exercises.answers import check_plain as check_plain
from asyncml.course.exercises.attempts import Attempt, attempt

T = TypeVar("T")
# words of an error message (alternatives separated by " / "): code, hint, fuller hint
Hints = dict[str, tuple[str, ...]]
NOT_AWAITABLE = ("can't be used in 'await' expression", "object can't be awaited")  # to 3.13; 3.14
UNAWAITABLE = " / ".join(NOT_AWAITABLE)


def play(
    scene: Callable[..., Any],
    *args: Any,
    of: Callable[..., Any],
    hints: Hints | None = None,
    may_raise: tuple[type[BaseException], ...] = (),
) -> Attempt:
    """Run a scene in virtual time.

    Args:
        scene: a function, `async` or not, that calls the answer; it may raise `Wrong`.
        args: the scene's arguments.
        of: the answer: errors are reported with its line numbers, and its module's `time.sleep` is
            watched.
        hints: typical errors, each with its own code and hints.
        may_raise: exceptions to return in `Attempt.error`, for the check to judge.

    Raises:
        Wrong: raised by the scene, or by `attempt` for the answer's failure.
    """

    @functools.wraps(of)
    async def run() -> Any:
        result = scene(*args)
        return await result if inspect.iscoroutinefunction(scene) else result

    with hinting(hints or {}):
        done = attempt(run, may_raise=(Wrong, *may_raise))
    if isinstance(done.error, Wrong):
        raise done.error
    return done


@contextlib.contextmanager
def hinting(hints: Hints) -> Iterator[None]:
    """Give typical errors of an answer their own codes and hints."""
    try:
        yield
    except Wrong as wrong:
        message = wrong.message.replace("RuntimeError: coroutine raised ", "")
        for words, (code, *said) in hints.items():
            if any(word in message for word in words.split(" / ")):
                raise Wrong(code, message, *said) from None
        raise


@contextlib.asynccontextmanager
async def heart(lags: list[float], every_s: float, beats: int = 10_000) -> AsyncIterator[None]:
    """Run a heartbeat beside an answer; record how late each beat comes.

    Args:
        lags: the list to which each beat's lateness is appended, in seconds.
        every_s: seconds between two beats.
        beats: the heart stops after this many, so an answer that waits for ever is a deadlock.
    """

    async def beat() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(beats):
            due = loop.time() + every_s
            await asyncio.sleep(every_s)
            lags.append(loop.time() - due)

    beating = asyncio.create_task(beat(), name="heart")
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


def quietly(judge: Callable[[Any], T]) -> Callable[[Any], T]:
    """Wrap a check so that only its verdict shows, no warnings about what an answer left behind."""

    @functools.wraps(judge)
    def quiet(answer: Any) -> T:
        logger = logging.getLogger("asyncio")
        was_disabled, logger.disabled = logger.disabled, True
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".* was never awaited", RuntimeWarning)
                try:
                    return judge(answer)
                except Wrong as wrong:
                    error: BaseException | None = wrong
                    while error is not None:  # their frames keep leftovers alive
                        traceback.clear_frames(error.__traceback__)
                        error = error.__context__
                    gc.collect()
                    raise
        finally:
            logger.disabled = was_disabled

    return quiet
