"""The coroutines in which a task is suspended, and the line of its wait.

A waiting coroutine is the first of a chain of awaitables: it awaits another, which awaits another,
down to the future that the event loop will complete. The chain gives the place of the wait in the
program, and its reason (`reasons.py`). Lesson 03.
"""

import asyncio
import gc
import sysconfig
from collections.abc import AsyncGenerator
from functools import lru_cache
from pathlib import Path
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    GeneratorType,
    TracebackType,
)
from typing import Any, NamedTuple

from asyncml.failures import shorten
from asyncml.internals import coroutine_of

INLINED = "<listcomp>", "<setcomp>", "<dictcomp>"  # functions of their own before Python 3.12 only
_OURS = str(Path(__file__).parents[1])  # the whole package
_LOOP = str(Path(__file__).with_name("loop.py"))  # replaces asyncio's event loop
_STDLIB = (sysconfig.get_path("stdlib"), str(Path(asyncio.__file__).parent.parent), "<frozen")


class Site(NamedTuple):
    """The position of a frame, as in "call site": its code and its current instruction."""

    code: CodeType
    lasti: int

    @property
    def line(self) -> int:
        """The line of the source, from 1; the code's first line if the instruction has none."""
        for start, end, line in self.code.co_lines():
            if start <= self.lasti < end and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def function(self) -> str:
        """The function's name, after the file's name unless the code is a notebook cell."""
        name = self.code.co_qualname
        while name.endswith(INLINED) and ".<locals>." in name:
            name = name.rpartition(".<locals>.")[0]
        return f"{file_part(self.code.co_filename)}{name.rpartition('.')[2]}"

    def __str__(self) -> str:
        """Return `main, line 7`, after the file's name as in `function`."""
        return f"{self.function}, line {self.line}"


def file_part(filename: str) -> str:
    """Return `name.py, `, or "" for a notebook cell, whose file name means nothing."""
    name = Path(filename).name
    return "" if "ipykernel" in filename or name.startswith("<") else f"{name}, "


async def _some_generator() -> AsyncGenerator[None, None]:
    yield


async def _some_coroutine() -> None: ...


def _hidden_steps() -> frozenset[type]:
    """Return the types in a chain that do not expose the coroutine that follows them."""
    generator, coroutine = _some_generator(), _some_coroutine()
    steps = [generator.asend(None), generator.athrow(ValueError), coroutine.__await__()]
    types = frozenset(type(step) for step in steps)
    for step in reversed(steps):
        step.close()  # type: ignore[attr-defined]
    return types


_HIDDEN_STEPS = _hidden_steps()
_SUSPENDABLE = (CoroutineType, AsyncGeneratorType, GeneratorType)
CHAINED = _HIDDEN_STEPS.union(_SUSPENDABLE)  # the types that a chain of awaits passes through


def await_chain(awaitable: Any) -> list[tuple[Any, CodeType, int]]:
    """Return the suspended coroutines and generators of a chain, outermost first.

    Each is a tuple of the object, its code and its current instruction. Callers may build a `Site`
    from the last two; the timeline does not, because it walks a chain at every step.
    """
    chain = []
    frame: FrameType | None
    while awaitable is not None:
        kind = type(awaitable)
        if kind is CoroutineType:
            frame, inner = awaitable.cr_frame, awaitable.cr_await
        elif kind is GeneratorType:
            frame, inner = awaitable.gi_frame, awaitable.gi_yieldfrom
        elif kind is AsyncGeneratorType:
            frame, inner = awaitable.ag_frame, awaitable.ag_await
        elif kind in _HIDDEN_STEPS:
            referents = gc.get_referents(awaitable)
            awaitable = next((r for r in referents if isinstance(r, _SUSPENDABLE)), None)
            continue
        else:
            break
        if frame is None:
            break
        chain.append((awaitable, frame.f_code, frame.f_lasti))
        awaitable = inner
    return chain


def task_chain(task: Any) -> list[tuple[Any, CodeType, int]]:
    """Return the chain of a task, starting with the program's own coroutine."""
    coro = coroutine_of(task)
    return await_chain(getattr(coro, "coro", coro))  # a recorded task's coroutine is wrapped


def is_library(code: CodeType) -> bool:
    """Return whether the code belongs to the standard library, or to the loop that replaces it."""
    return is_library_file(code.co_filename)


@lru_cache(1000)
def is_library_file(name: str) -> bool:
    """Return whether a file belongs to the standard library, or replaces asyncio's event loop."""
    return (name.startswith(_STDLIB) and "-packages" not in name) or name == _LOOP


def is_ours(code: CodeType) -> bool:
    """Return whether the code belongs to this package."""
    return code.co_filename.startswith(_OURS)


def is_users(code: CodeType) -> bool:
    """Return whether the code belongs to the user's program or to another library."""
    return not is_library(code) and not is_ours(code)


def user_site(sites: list[Site]) -> Site | None:
    """Return the innermost site outside the standard library, if possible in the user's program."""
    outside = [site for site in sites if not is_library(site.code)]
    theirs = [site for site in outside if not is_ours(site.code)]
    return (theirs or outside or [None])[-1]  # type: ignore[list-item]


def running_site(frame: FrameType | None, *, through_us: bool = True) -> Site | None:
    """Return the innermost site of the user's program, from a running frame outwards.

    Args:
        frame: the frame to start from.
        through_us: whether to continue past frames of this package.
    """
    while frame is not None and not is_users(frame.f_code):
        is_end = not through_us and is_ours(frame.f_code)
        frame = None if is_end else frame.f_back
    return Site(frame.f_code, frame.f_lasti) if frame else None


def user_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that starts in the user's program; None if there is none."""
    while trace is not None and not is_users(trace.tb_frame.f_code):
        trace = trace.tb_next
    return trace


def check_coroutine(caller: str, main: object) -> None:
    """Raise a TypeError that shows the fix if `main` is not a coroutine."""
    if not asyncio.iscoroutine(main):
        name = own_name(main)
        hint = f": call it, `{caller}({name}())`" if callable(main) and name else ""
        raise TypeError(f"`{caller}` needs a coroutine, got {name or shorten(main)}{hint}")


def own_name(thing: Any) -> str | None:
    """Return the name of a function, class or coroutine; None for an object without one.

    Any object is accepted, even one whose attributes raise or that has every attribute.
    """
    try:
        name = thing.__name__
    except Exception:
        return None
    return name if isinstance(name, str) else None
