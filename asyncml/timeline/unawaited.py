"""Records coroutines that were called but never awaited.

Python reports them only as text, in a warning. To do so the interpreter looks up a function in
`warnings` by name, so another function can temporarily replace it. Lesson 06.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from asyncml.clock.waiting import is_library, is_ours
from asyncml.internals import frame_at

Note = Callable[[str, str, int], None]

_lock = threading.Lock()
_notes: list[Note] = []
_warnings: Any = warnings
_warn: Callable[[Any], None]


def _note_and_warn(coro: Any) -> None:
    file, line = _where(coro, frame_at(1))
    for note in list(_notes):
        note(coro.__name__, file, line)
    _warn(coro)


def _where(coro: Any, dropped_in: FrameType) -> tuple[str, int]:
    """Return where the coroutine was created, if debug mode has kept that, or where it was dropped.

    Keeping the origin always would cost as much at each call of an `async def` as recording a step.
    If an `await` was forgotten, the line that drops the coroutine is usually the one that made it.
    """
    if coro.cr_origin:
        file, line, _ = coro.cr_origin[0]
        return file, line
    code = dropped_in.f_code
    if is_library(code) or is_ours(code):  # it outlived the function that called it
        return "", 0
    return code.co_filename, dropped_in.f_lineno


@contextlib.contextmanager
def unawaited_noted(note: Note) -> Iterator[None]:
    """Call `note(name, file, line)` for each such coroutine that is dropped in the block."""
    global _warn
    with _lock:
        if not _notes:
            _warn, _warnings._warn_unawaited_coroutine = (
                _warnings._warn_unawaited_coroutine,
                _note_and_warn,
            )
        _notes.append(note)
    try:
        yield
    finally:
        with _lock:
            _notes.remove(note)
            if not _notes:
                _warnings._warn_unawaited_coroutine = _warn
