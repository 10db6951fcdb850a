"""Tells a learner that her last edit was not judged, because its cell failed.

After a SyntaxError, or an error further up in the cell, the previous definition is still there, and
a check would judge that one.
"""

import inspect
import re
import sys
from typing import Any


def outdated(answer: Any) -> str:
    """Return a sentence if a newer cell failed to redefine an answer, else "".

    Args:
        answer: a function or a class from a notebook.
    """
    thing = inspect.unwrap(answer) if callable(answer) else answer
    name, place = getattr(thing, "__name__", None), _cell_of(thing)
    inputs: Any = getattr(sys.modules.get("__main__"), "In", None)
    if not isinstance(name, str) or place is None or not isinstance(inputs, list):
        return ""
    define = re.compile(rf"^(async def|def|class) {re.escape(name)}\b", re.MULTILINE)
    later = [n for n in range(place + 1, len(inputs)) if define.search(str(inputs[n]))]
    if not later:
        return ""
    return (
        f"This was `{name}` as cell [{place}] defined it: cell [{later[-1]}] is newer, and ended "
        "with an error before it could."
    )


def _cell_of(thing: Any) -> int | None:
    """Return the number of the cell that defined a function or class, if IPython knows it."""
    if inspect.isclass(thing):
        thing = next(filter(inspect.isfunction, vars(thing).values()), None)
    code = getattr(thing, "__code__", None)
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    numbers = getattr(getattr(shell, "compile", None), "_filename_map", {})
    return numbers.get(code.co_filename) if code is not None else None
