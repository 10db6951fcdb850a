"""Notes coroutines that were called and dropped without having been awaited.

Python warns of them, but tells nobody which ones: the interpreter calls a function of `warnings` by
its name, and this puts another in its place for a while. Used by the recorder; lesson 06.
"""

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

Note = Callable[[str, str, int], None]

_lock = threading.Lock()
_notes: list[Note] = []
_warnings: Any = warnings
_warn: Callable[[Any], None]


def _note_and_warn(coro: Any) -> None:
    file, line, _ = (coro.cr_origin or (("", 0, ""),))[0]
    for note in list(_notes):
        note(coro.__name__, file, line)
    _warn(coro)


@contextlib.contextmanager
def unawaited_noted(note: Note) -> Iterator[None]:
    """Call `note(name, file, line)` for each such coroutine made on this thread in the block."""
    global _warn
    depth = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(max(depth, 1))
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
        sys.set_coroutine_origin_tracking_depth(depth)
