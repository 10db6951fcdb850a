"""The output of a lesson's cell, to be shown in another notebook.

Lesson 13 answers with what the lessons measured. It takes the figures from the lessons themselves,
so the two cannot drift apart, and a reader's own copy, which has no outputs, is not needed.
"""

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from asyncml.course.lab import lessons


@dataclass(frozen=True)
class Quote:
    """The output of a cell: shows as text, and as a picture if the cell drew one.

    Attributes:
        source: the number of the lesson, and the name of the cell.
        lines: the printed lines.
        png: the picture, or None.
    """

    source: str
    lines: tuple[str, ...]
    png: bytes | None = None

    def __repr__(self) -> str:
        """Return the source and the lines."""
        return "\n".join([f"{self.source}:", *(f"  {line}".rstrip() for line in self.lines)])

    def _repr_png_(self) -> bytes | None:
        return self.png


def quote(address: str, only: str = "") -> Quote:
    """Return the output of a lesson's cell, from the last run of that lesson.

    Args:
        address: the lesson and the cell, as in "05_when_async_helps#train-run".
        only: a regular expression; only lines that contain a match are shown.

    Raises:
        ValueError: there is no such lesson or cell, or it has no such output.

    Example:
        >>> quote("01_from_await_to_callbacks#four-states-run", only="cancelled ")
        01, four-states-run:
          pending    done False  cancelled False  result() raises InvalidStateError
          result     done True   cancelled False  result() returns 'Sneaker'
          exception  done True   cancelled False  result() raises KeyError
          cancelled  done True   cancelled True   result() raises CancelledError
    """
    name, _, cell_id = address.partition("#")
    path = lessons() / f"{name}.ipynb"
    if not path.exists():
        raise ValueError(f"there is no lesson {name!r}")
    cells = {cell.get("id"): cell for cell in _cells(path)}
    outputs = cells.get(cell_id, {}).get("outputs", [])
    text = "\n".join(filter(None, map(_text, outputs)))
    lines = tuple(line for line in text.rstrip().splitlines() if re.search(only, line))
    pictures = [out["data"]["image/png"] for out in outputs if "image/png" in out.get("data", {})]
    if not lines and not pictures:
        raise ValueError(f"cell {cell_id!r} of {name} has put out nothing with {only!r} in it")
    png = base64.b64decode(_joined(pictures[0])) if pictures else None
    return Quote(f"{name[:2]}, {cell_id}", lines, png)


@cache
def _cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    data = output.get("data", {})
    if "image/png" in data:
        return ""  # the text is `<Figure size 800x300 with 1 Axes>`
    return _joined(output.get("text", data.get("text/plain", ""))).rstrip()


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
