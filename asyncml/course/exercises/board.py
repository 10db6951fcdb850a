"""The score of the whole program of lesson 12, and a leaderboard for a class.

A score is the virtual time for loading, training on and saving one epoch of 3,000 images, divided
by the time that no program can beat. It is the same on every machine. A class shares a folder, and
each learner puts a file into it. The league of lesson 07 uses the same board.
"""

import asyncio
import json
import math
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyncml.clock import simulate
from asyncml.course.exercises import Wrong, said_by
from asyncml.course.exercises.bucket import Bucket
from asyncml.course.exercises.capstone import World
from asyncml.course.exercises.league import Score, explain, refuse_storm
from asyncml.course.exercises.scenes import demand, quietly

# Seconds that no program can beat: the bound of a `World()`. It is a constant because a cell could
# change what a world is made of, and with it the bound.
LEAST_S = 16.98
_EDGE, _LONGEST = 1e-6, 40  # seconds of tolerance; letters of a name


@dataclass(frozen=True)
class Result:
    """A program's result, in seconds of virtual time; its repr is one line.

    Attributes:
        seconds: from the start to the last checkpoint.
        bound_s: the seconds that no program can beat.
        refused: the number of requests that the bucket refused.
    """

    seconds: float
    bound_s: float
    refused: int

    @property
    def score(self) -> float:
        """The time as a multiple of the bound."""
        return self.seconds / self.bound_s

    def __repr__(self) -> str:
        """Return the score, the seconds and the bound."""
        return (
            f"score {self.score:.3f}: {self.seconds:.2f} s, and {self.bound_s:.2f} s is the least"
        )


def score(load_data: Any, train: Any) -> Result:
    """Return the score of a program that loads 3,000 images, trains for one epoch and saves.

    Args:
        load_data: as in "12-load".
        train: as in "12-save".

    Raises:
        Wrong: the program failed, left something out, or took less time than is possible.
    """
    return _score((load_data, train))


@quietly
def _score(functions: tuple[Callable[..., Any], Callable[..., Any]]) -> Result:
    load_data, train = functions
    world = World()

    async def whole(folder: Path) -> float:
        parts = world.model, world.optimizer, world.batches(load_data), world.validate
        await train(folder, *parts, 1, 1)
        return asyncio.get_running_loop().time()

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            seconds = float(simulate(whole(Path(folder))))  # a number, whatever the clock returned
        except Exception as error:
            refuse_storm(world.bucket)
            explain(error, world.bucket)
            raise Wrong(
                "raised", f"it raised {said_by(error)}.", "Does it pass its checks?"
            ) from error
        is_saved = any(Path(folder).glob("*.safetensors"))
    good, rows = len(world.bucket.good), sum(world.model.rows)
    shown = f"trained on {rows} images, and there are {good}."
    demand(rows == good, "images", shown, "Each image once, in one epoch.")
    is_asked = len(world.bucket.asked) == len(world.bucket.keys) == world.decoder.calls
    demand(is_asked, "unasked", "some of the images did not come out of the bucket.")
    demand(is_saved, "unsaved", "it ended, and no checkpoint was in the folder.")
    shown = f"it took {seconds:.2f} s, and no program can take less than {LEAST_S:.2f} s."
    why = "Was the bucket looked into, or the clock?"
    demand(seconds >= LEAST_S - _EDGE, "unfair", shown, why, "Await `get`, and call `decode`.")
    return Result(seconds, LEAST_S, world.bucket.refused)


def submit(folder: str | os.PathLike[str], name: str, result: Result | Score) -> None:
    """Write a result into the shared folder; the same name replaces its own earlier result.

    Args:
        folder: created if it is missing. One folder holds the results of one lesson.
        name: a nickname.
        result: a `score` of lesson 12 or of the league.
    """
    room = Path(folder)
    room.mkdir(parents=True, exist_ok=True)
    file = re.sub(r"\W+", "_", name).strip("_") or "nobody"
    lesson = "07" if isinstance(result, Score) else "12"
    text = json.dumps({"name": name, "lesson": lesson, **asdict(result)}, ensure_ascii=False)
    (room / f"{file}.json").write_text(text, encoding="utf-8")


class Board:
    """A table of results, the best first; its repr is the table.

    Attributes:
        rows: for each name its `Result`, or a text that says what was wrong with its file.
    """

    def __init__(self, rows: dict[str, Result | str]) -> None:
        def rank(name: str) -> float:
            row = rows[name]
            return row.score if isinstance(row, Result) else math.inf

        self.rows = {name: rows[name] for name in sorted(rows, key=lambda n: (rank(n), n))}

    def __repr__(self) -> str:
        """Return the table."""
        width = max(map(len, ("name", *self.rows)))
        lines = [f"{name:{width}}  {row}" for name, row in self.rows.items()]
        return "\n".join(lines) if lines else "nobody yet"


def board(folder: str | os.PathLike[str]) -> Board:
    """Return the board of the results in a folder; unreadable or impossible ones are marked."""
    rows: dict[str, Result | str] = {}
    for path in sorted(Path(folder).glob("*.json")):
        name, row = _read(path)
        name = "".join(mark if mark.isprintable() else " " for mark in name)[:_LONGEST]  # one line
        rows[name if name not in rows else f"{name} ({path.name})"] = row
    return Board(rows)


def _read(path: Path) -> tuple[str, Result | str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        name, seconds, refused = str(found["name"]), float(found["seconds"]), int(found["refused"])
        is_league = found.get("lesson") == "07"
    except (ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError):
        return path.name, "refused: not a file of `submit`"
    least_s = Bucket().bound_s() if is_league else LEAST_S
    if not least_s - _EDGE <= seconds < math.inf:
        return name, "refused: nobody can be so fast"
    return name, Result(seconds, least_s, refused)
