"""Explains why a program in virtual time cannot go on: what each task waits for, and where."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from asyncml.clock.reasons import reason, target_name
from asyncml.clock.waiting import Site, is_ours, task_chain, user_site
from asyncml.internals import awaited_by
from asyncml.units import figure

_POLLING_HINT = (
    "Wait for what is being polled with an asyncio.Event, a Queue or a task; "
    "or sleep for more than 0 s, so that time can pass."
)
_STRANGERS_HINT = (
    "Still there, and none of its own: {}. If that is to wake the loop, start it with "
    "`asyncio.to_thread` or `loop.run_in_executor`: then time stands still until it has ended."
)


class Deadlock(RuntimeError):
    """Every task is waiting, and no timer or thread is left that could wake one of them.

    It is also raised if some tasks yield to the loop forever while nothing changes.

    Attributes:
        waits: for each waiting task, the tuple (its name, what it waits for, where).
    """

    def __init__(
        self,
        now: float,
        tasks: Iterable[asyncio.Task[Any]],
        *,
        strangers: Sequence[str] = (),
        is_polling: bool = False,
    ) -> None:
        in_order = sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))
        waits = [_wait(task) for task in in_order]
        # This package's own tasks wait for the program's, and the program's tell the user more.
        theirs = [wait for wait in waits if wait[2] is None or not is_ours(wait[2].code)]
        self.waits = [(name, why, str(at or "code unknown")) for name, why, at in theirs or waits]
        count = "1 task waits" if len(self.waits) == 1 else f"{len(self.waits)} tasks wait"
        what = f"{count}, and no timer or thread is left to end this:"
        hint = []
        if is_polling:
            what = "nothing happens but `await asyncio.sleep(0)`, and time stands still meanwhile:"
            hint.append(_POLLING_HINT)
        elif strangers:
            what = f"{count}, and no timer and no thread that simulate() knows could end this:"
            hint.append(_STRANGERS_HINT.format(", ".join(strangers)))
        lines = [f"  {name} waits for {why} in {where}" for name, why, where in self.waits]
        super().__init__("\n".join([f"at {figure(now, 6)} s {what}", *lines, *hint]))


def _wait(task: asyncio.Task[Any]) -> tuple[str, str, Site | None]:
    sites = [Site(code, lasti) for _, code, lasti in task_chain(task)]
    why = reason([site.code for site in sites], target_name(awaited_by(task)))
    return task.get_name(), why, user_site(sites)
