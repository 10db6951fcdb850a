"""What a program did, task by task and thread by thread: as slices, figures, sentences and numbers.

Lesson 03 draws the first timeline, and every lesson uses them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncml.look import printable
from asyncml.timeline import drawing
from asyncml.timeline.findings import Finding, find
from asyncml.timeline.lanes import Lanes
from asyncml.timeline.player import Player
from asyncml.timeline.recording import Recording
from asyncml.units import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")


class Timeline(Lanes, Generic[T]):
    """What a recorded program did; made by `record`.

    Attributes:
        result: the result of the recorded coroutine; None if it raised.
        duration_s: how long the program took, in seconds of the clock that it ran on.
    """

    def __init__(self, result: T, recording: Recording) -> None:
        super().__init__(recording)
        self.result = result

    def findings(self) -> list[Finding]:
        """Return what is wrong with the program, worst first; an empty list if nothing is.

        It looks for waits in sequence that could have overlapped, work that blocked the loop, tasks
        started without a bound, and coroutines, tasks and exceptions that were never awaited. It
        sees when things happened, not why: only you know whether one wait needs the result of
        another. Two things are not reported: the pace of a loop that itself sleeps on one of its
        lines (a heartbeat, a poll, a back-off), and work in a thread.
        """
        return find(self)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the timeline: one lane for each task and thread, with the blocked loop marked.

        Args:
            ax: the axes to draw on; by default a new figure of a suitable height.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        return drawing.plot(self, ax)

    def text(self, width: int = 72) -> str:
        """Return the timeline as text; each column shows the state that filled most of it.

        Args:
            width: the length of a line, at least 40.

        Example:
            >>> import asyncio
            >>> from asyncml.clock import simulate
            >>> from asyncml.timeline.recorder import record
            >>> print(simulate(record(asyncio.sleep(1))).text(width=40))
            sleep |................................|
                  0                              1 s
            # running  = ready  . waiting
        """
        return printable(drawing.text(self, width))

    def describe(self) -> str:
        """Return the timeline in sentences, such as "fetch-3 waits 0-20 ms for sleep"."""
        return printable(drawing.describe(self))

    def play(self, *others: "Timeline[Any]") -> Player:
        """Show the timeline in a notebook, to be stepped through event by event.

        You can drag or step the cursor, or let it play. At the cursor the player shows which task
        runs, and its source with the current line; which tasks are ready, in which order; what each
        other one waits for; and which timers are pending. If scripts may not run, the figure and
        the text are shown instead.

        Args:
            others: other timelines, shown beside this one on the same time axis.

        Example:
            >>> import asyncio
            >>> from asyncml.clock import simulate
            >>> from asyncml.timeline.recorder import record
            >>> simulate(record(asyncio.sleep(1))).play().save("run.html")  # doctest: +SKIP
        """
        return Player(self, *others)

    def save(self, path: str | Path) -> None:
        """Write the timeline as a page that plays it, or as a trace.

        Args:
            path: the file to write: "run.html" for a self-contained page that any browser can play
                without a network, or "trace.json" for a trace that ui.perfetto.dev and
                chrome://tracing open.
        """
        if Path(path).suffix in (".html", ".htm"):
            return self.play().save(path)
        lanes = {lane: number for number, lane in enumerate(self.lanes)}
        names = [
            {"ph": "M", "pid": 0, "tid": tid, "name": "thread_name", "args": {"name": lane}}
            for lane, tid in lanes.items()
        ]
        events = [
            {
                "ph": "X",
                "pid": 0,
                "tid": lanes[piece.lane],
                "ts": piece.start_s * 1e6,
                "dur": (piece.end_s - piece.start_s) * 1e6,
                "name": f"{piece.state} {piece.reason}".strip(),
                "cat": piece.state,
            }
            for piece in self.slices
        ]
        trace = {"traceEvents": names + events, "displayTimeUnit": "ms"}
        Path(path).write_text(json.dumps(trace), encoding="utf-8")

    def __repr__(self) -> str:
        """Return the size of the timeline in a line."""
        count = len(self.tracks) + len(self._threads)  # cheap, since asyncio may ask for the repr
        return f"<Timeline of {count} lanes, {figure(self.duration_s)} s>"
