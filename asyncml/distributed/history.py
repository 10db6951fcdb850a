"""The record of a distributed run: each update, in compact columns, and what each worker did."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from asyncml.look import BLUE, GREY, VERMILION, legend, rows, unframe
from asyncml.units import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 400  # of a curve: more cannot be told apart


class Update(NamedTuple):
    """One change of the parameters.

    Attributes:
        time: seconds, on the clock of the running loop.
        workers: which workers' gradients it took, one entry per gradient.
        stalenesses: for each gradient, how many updates were made between the parameters that it
            was computed from and this update.
        loss: the mean over the examples, before the update.
    """

    time: float
    workers: tuple[int, ...]
    stalenesses: tuple[int, ...]
    loss: float


@dataclass(frozen=True)
class WorkerStatistics:
    """What a worker did.

    Attributes:
        worker: its number.
        gradients: how many of its gradients counted.
        dropped: how many were dropped as stale, or cut short for that reason.
        busy_s: seconds that it spent computing.
        waited_s: the rest of its time, in seconds: for other workers, for messages, for batches.
        lost: why it was lost; None if it was not.
    """

    worker: int
    gradients: int
    dropped: int
    busy_s: float
    waited_s: float
    lost: str | None


@dataclass(frozen=True)
class RunStatistics:
    """What a run did.

    Attributes:
        workers: one record per worker.
        updates: how many changes of the parameters.
        gradients: how many gradients counted.
        staleness: the mean over the gradients; nan if there are none.
        seconds: from the start to the last update.
        unseen: which batches are not in the parameters, in words; "" if all are.
    """

    workers: tuple[WorkerStatistics, ...]
    updates: int
    gradients: int
    staleness: float
    seconds: float
    unseen: str

    def __str__(self) -> str:
        lines = [
            f"{self.updates} updates of {self.gradients} gradients in {duration(self.seconds)}, "
            f"mean staleness {self.staleness:.2f}"
        ]
        for each in self.workers:
            whole = each.busy_s + each.waited_s
            line = f"  worker {each.worker}: {each.gradients} gradients"
            line += f", {each.dropped} dropped" if each.dropped else ""
            line += f", busy {each.busy_s / whole:.0%}" if whole > 0 else ""
            lines.append(line + (f", lost: {each.lost}" if each.lost else ""))
        if self.unseen:
            lines.append(f"  not seen: {self.unseen}")
        return "\n".join(lines)


class History:
    """The record of a run, while it runs and afterwards; `train_distributed` returns it.

    An update of one gradient takes 28 bytes, and each further gradient 8.

    Attributes:
        updates: a sequence of `Update`, each made when it is accessed.
        staleness: (gradients,) int32, of each gradient that counted, in the order of the updates.
        times: (updates,) float64, in seconds on the clock of the running loop.
        losses: (updates,) float64.
        workers: (gradients,) int32, the worker of each gradient.
        start_s: when the run began, on the same clock.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self.start_s = start_s
        self._times, self._losses = array("d"), array("d")
        self._ends, self._workers, self._stalenesses = array("I"), array("i"), array("i")
        self.workers_and_unseen: Callable[[], tuple[Any, str]] = lambda: ((), "")

    def __repr__(self) -> str:
        updates, gradients = len(self._times), len(self._workers)
        return f"History({updates} updates of {gradients} gradients)"

    @property
    def updates(self) -> Sequence[Update]:  # noqa: D102
        return _Updates(self)

    @property
    def staleness(self) -> npt.NDArray[np.int32]:  # noqa: D102
        return np.array(self._stalenesses, np.int32)

    @property
    def times(self) -> npt.NDArray[np.float64]:  # noqa: D102
        return np.array(self._times)

    @property
    def losses(self) -> npt.NDArray[np.float64]:  # noqa: D102
        return np.array(self._losses)

    @property
    def workers(self) -> npt.NDArray[np.int32]:  # noqa: D102
        return np.array(self._workers, np.int32)

    @property
    def nbytes(self) -> int:
        """How many bytes the columns take, including their reserve."""
        columns = self._times, self._losses, self._ends, self._workers, self._stalenesses
        return sum(column.__sizeof__() for column in columns)

    def add_gradient(self, worker: int, staleness: int) -> None:
        """Record a gradient of the next update."""
        self._workers.append(worker)
        self._stalenesses.append(staleness)

    def add_update(self, time: float, loss: float) -> None:
        """Record an update, made of the gradients recorded since the last one."""
        self._times.append(time)
        self._losses.append(loss)
        self._ends.append(len(self._workers))

    def statistics(self) -> RunStatistics:
        """Return the statistics of the run, and of each worker: computed, waited, lost."""
        staleness = self.staleness
        mean = float(staleness.mean()) if len(staleness) else float("nan")
        seconds = self._times[-1] - self.start_s if self._times else 0.0
        workers, unseen = self.workers_and_unseen()
        return RunStatistics(workers, len(self._times), len(staleness), mean, seconds, unseen)

    def plot(self) -> Figure:
        """Draw the loss over time and over updates, and how busy each worker was.

        Raises:
            ValueError: there was no update.
            ModuleNotFoundError: matplotlib is not installed.
        """
        if not self._times:
            raise ValueError("there is nothing to draw: this run changed no parameters")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
        width = max(1, len(self._times) // _POINTS)
        ends = np.arange(width, len(self._times) + 1, width)
        losses = np.add.reduceat(self.losses[: ends[-1]], ends - width) / width
        seconds = self.times[ends - 1] - self.start_s
        axes[0].plot(seconds, losses, color=BLUE)
        axes[0].set(xlabel="time (s)", ylabel="loss")
        axes[1].plot(ends, losses, color=BLUE)
        axes[1].set(xlabel="updates", ylabel="loss")
        for ax in axes[:2]:
            unframe(ax, "top", "right")
        self._draw_workers(axes[2])
        return figure

    def _draw_workers(self, ax: Any) -> None:
        workers = self.statistics().workers
        if len(workers) <= 32:
            rows(ax, [f"worker {each.worker}" for each in workers])
        places = range(len(workers))
        busy, waited = [w.busy_s for w in workers], [w.waited_s for w in workers]
        ax.barh(places, busy, color=BLUE, label="busy")
        ax.barh(places, waited, left=busy, color=GREY, label="waited", hatch="//", edgecolor="w")
        lost = [place for place in places if workers[place].lost]
        ends = [busy[place] + waited[place] for place in lost]
        if lost:
            ax.plot(ends, lost, "X", color=VERMILION, label="lost")
        ax.set_xlabel("time (s)")
        legend(ax, columns=3)


class _Updates(Sequence[Update]):
    """The updates of a history, each made when it is accessed."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __len__(self) -> int:
        return len(self._history._times)

    @overload
    def __getitem__(self, at: int) -> Update: ...
    @overload
    def __getitem__(self, at: slice) -> list[Update]: ...
    def __getitem__(self, at: int | slice) -> Update | list[Update]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        h, i = self._history, range(len(self))[at]
        mine = slice(h._ends[i - 1] if i else 0, h._ends[i])
        workers, stalenesses = tuple(h._workers[mine]), tuple(h._stalenesses[mine])
        return Update(h._times[i], workers, stalenesses, h._losses[i])

    def __repr__(self) -> str:
        return f"<{len(self)} updates>"
