"""The loss during training, drawn live in a notebook, and a summary afterwards.

Your own loop adds the steps one by one, so `fit` does not depend on this. One figure is redrawn in
place, without a widget. Drawing takes a third of the time at first, so that there is soon something
to see, and a twentieth of it later. Lesson 09.
"""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncml.look import BLUE, GREY, VERMILION, legend, unframe
from asyncml.training.step import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Pause after a drawing, as a multiple of the time it took; doubles from the first to the most.
_FIRST_PAUSE, _MOST_PAUSE = 2, 20
_POINTS = 200  # of the smoothed curve


class LossCurve:
    """Collects the steps of a training run and draws them.

    In a notebook the loss is shown during training, in the output of the cell that adds the first
    steps: from the second step on, and once more at the end of each cell that adds steps, however
    that cell ends. Elsewhere nothing is shown until `plot` is called.

    Args:
        every_s: the minimum time between two drawings, in seconds.
        live: False to draw nothing until `plot` is called.

    Attributes:
        steps: the steps added, without `pipeline_state`, which may be large.
        accuracies: for each accuracy added, (the number of steps before it, its value, 0 to 1).

    Raises:
        ValueError: `every_s` is negative.

    Example:
        >>> curve = LossCurve(live=False)
        >>> for index in range(3):
        ...     curve.add(Step(0, index, loss=1 / (index + 1), examples=64, wait_s=0.01,
        ...               compute_s=0.03))
        >>> curve
        LossCurve(3 steps, loss 0.333, 25% of the time spent waiting for data)
    """

    def __init__(self, *, every_s: float = 0.5, live: bool = True) -> None:
        if not every_s >= 0:
            raise ValueError(f"`every_s` must be >= 0, got {every_s}")
        self.steps: list[Step] = []
        self.accuracies: list[tuple[int, float]] = []
        self._every_s, self._live = every_s, live
        self._pause, self._next_s = _FIRST_PAUSE, 0.0
        self._shown: Any = None  # the display handle of the figure in the notebook
        self._is_latest = self._awaits_end = False

    def __repr__(self) -> str:
        if not self.steps:
            return "LossCurve(no steps)"
        wait, compute = self._seconds()
        share = wait / (wait + compute) if wait + compute else 0.0
        return (
            f"LossCurve({len(self.steps)} steps, loss {self.steps[-1].loss:.3g}, "
            f"{share:.0%} of the time spent waiting for data)"
        )

    def add(self, step: Step) -> None:
        """Add a step, and redraw if it is time to.

        Args:
            step: a step of `fit`; it is kept without its `pipeline_state`.

        Raises:
            TypeError: `step` is not a Step.
        """
        if not isinstance(step, Step):
            raise TypeError(f"`step` must be a Step of `fit`, got {type(step).__name__}")
        self.steps.append(replace(step, pipeline_state=None))
        self._changed()
        if self._live and len(self.steps) > 1 and time.perf_counter() >= self._next_s:
            self._show()

    def add_accuracy(self, accuracy: float) -> None:
        """Record an accuracy measured after the last step.

        Args:
            accuracy: the proportion of correct examples, from 0 to 1.

        Raises:
            ValueError: `accuracy` is outside that range.
        """
        if not 0 <= accuracy <= 1:
            raise ValueError(f"`accuracy` must be from 0 to 1, got {accuracy}")
        self.accuracies.append((len(self.steps), float(accuracy)))
        self._changed()

    def plot(self) -> Figure:
        """Draw the summary: loss and accuracy over the steps, and where the time went.

        Raises:
            ValueError: no step has been added.
            ModuleNotFoundError: matplotlib is not installed.
        """
        if not self.steps:
            raise ValueError("there is nothing to draw: add the steps of `fit` first")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(
            1, 2, figsize=(9, 3), width_ratios=[3, 1], layout="constrained", squeeze=True
        )
        self._draw_loss(axes[0])
        self._draw_times(axes[1])
        return figure

    def _changed(self) -> None:
        """At the first change in a cell, ask the notebook to call back when the cell ends."""
        self._is_latest = False
        if self._live and not self._awaits_end:
            shell = _notebook()
            self._live = self._awaits_end = shell is not None
            if shell is not None:
                shell.events.register("post_run_cell", self._cell_ended)

    def _cell_ended(self, result: object = None) -> None:
        shell = _notebook()
        if shell is not None:
            shell.events.unregister("post_run_cell", self._cell_ended)
        self._awaits_end = False
        if self.steps and not self._is_latest:
            self._show()

    def _show(self) -> None:
        """Draw in the notebook, and schedule the earliest time of the next drawing."""
        from IPython import display

        untyped: Any = display
        begun = time.perf_counter()
        picture = untyped.Image(self._picture())
        if self._shown is None:
            self._shown = untyped.display(picture, display_id=True)
        else:
            self._shown.update(picture)
        now = time.perf_counter()
        self._next_s = now + max(self._every_s, self._pause * (now - begun))
        self._pause, self._is_latest = min(2 * self._pause, _MOST_PAUSE), True

    def _picture(self) -> bytes:
        from matplotlib.figure import Figure  # pyplot would display it a second time

        figure, png = Figure(figsize=(7, 2.6), layout="constrained"), io.BytesIO()
        self._draw_loss(figure.add_subplot())
        figure.savefig(png, format="png", dpi=80)
        return png.getvalue()

    def _draw_loss(self, ax: Axes) -> None:
        losses = np.array([step.loss for step in self.steps])
        width = max(1, len(losses) // _POINTS)
        ends = np.arange(width, len(losses) + 1, width)
        means = np.add.reduceat(losses[: ends[-1]], ends - width) / width
        label = "loss" if width == 1 else f"loss, mean of {width} steps"
        ax.plot(ends, means, "o" if len(ends) == 1 else "-", color=BLUE, label=label)
        ax.set(xlabel="step", ylabel="loss", xlim=(0, len(losses)), ylim=(0, None))
        unframe(ax, "top", "right")
        if self.accuracies:
            right = ax.twinx()
            right.plot(*zip(*self.accuracies, strict=True), "D--", color=VERMILION, clip_on=False)
            right.set(ylabel="accuracy", ylim=(0, 1))
            unframe(right, "top")
            ax.plot([], [], "D--", color=VERMILION, label="accuracy (right axis)")
        legend(ax)

    def _draw_times(self, ax: Axes) -> None:
        wait, compute = self._seconds()
        ax.barh(["waiting\nfor data", "computing"], [wait, compute], color=[GREY, BLUE])
        ax.set_xlabel("time (s)")
        ax.invert_yaxis()
        unframe(ax, "top", "right")

    def _seconds(self) -> tuple[float, float]:
        return sum(s.wait_s for s in self.steps), sum(s.compute_s for s in self.steps)


def _notebook() -> Any:
    """Return the shell of the current notebook; None if there is none, or no matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401 (takes half a second, which is not drawing time)
        from IPython import get_ipython
    except ModuleNotFoundError:
        return None
    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None
