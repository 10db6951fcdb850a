"""A measured figure in one line: rounded, beside what was expected.

Stopwatch readings differ from machine to machine, so they are shown with two digits and checked
against bounds wide enough for a busy laptop. A figure out of bounds is marked. That does not stop a
learner's notebook, but the course's tests fail on it. Lessons 04, 05 and later ones use it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncml.checks import check_number
from asyncml.failures import shorten
from asyncml.look import BLUE, VERMILION, legend, printable, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSED = "✘ expected"  # the mark of a figure out of bounds
_WITHIN = 10.0  # times more or less than predicted, unless bounds are given
_STEPS = {
    "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
    "B": [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
    "x": [(1.0, "x")],
    "": [(1.0, "")],
}
_UNIT_NAMES = {"s": "seconds", "B": "bytes", "x": "times", "": ""}
_NEAR_BET, _FAR_BET = 1.25, 3.0  # factors: near up to the first, far above the second
_NEAR = 8.0  # within this many times a figure, a prediction is in the way of its label

_bets: dict[str, "Measurement"] = {}


@dataclass(frozen=True)
class Measurement:
    """A measured figure and what was expected, shown as one line.

    Attributes:
        what: what was measured.
        value: the figure, in `unit`.
        predicted: what a formula or experience predicts.
        bounds: the least and the most that count as expected.
        unit: "s", "B" (bytes), "x" (a ratio) or "" (a count).
        bet: what the reader expected; None if she did not say.
    """

    what: str
    value: float
    predicted: float
    bounds: tuple[float, float]
    unit: str = "s"
    bet: float | None = None

    @property
    def is_expected(self) -> bool:
        """Whether the figure lies within the bounds."""
        low, high = self.bounds
        return low <= self.value <= high

    def __repr__(self) -> str:
        """Return the line."""
        line = f"{self.what}: {rounded(self.value, self.unit)}"
        predicted = rounded(self.predicted, self.unit)
        if self.is_expected:
            return printable(f"{line} (predicted: {predicted}{self._about_the_bet()})")
        low, high = (rounded(bound, self.unit) for bound in self.bounds)
        line += f" {MISSED} {predicted}, or {low} to {high}"
        return printable(f"{line}: is the machine busy, or capped?")

    def _about_the_bet(self) -> str:
        if self.bet is None:
            return ""
        far = f", {_how_far(self)}: why?" if _times_off(self) > _FAR_BET else ""
        return f"; your bet: {rounded(self.bet, self.unit)}{far}"


def measured(
    what: str,
    value: float,
    predicted: float,
    *,
    unit: str = "s",
    bounds: tuple[float, float] | None = None,
    bet: Any = None,
) -> Measurement:
    """Show a measured figure beside its prediction, and beside the reader's bet if she made one.

    Args:
        what: what was measured, in a few words.
        value: the figure, in `unit`.
        predicted: what was expected, in `unit`, > 0.
        unit: "s", "B" (bytes), "x" (a ratio) or "" (a count).
        bounds: the least and the most that count as expected; by default a tenth of the prediction,
            and ten times as much.
        bet: what the reader expected, in `unit`; `...` or None: she has not said.

    Raises:
        TypeError: the bet is not a number.
        ValueError: the unit is unknown, the prediction is not positive, or the bounds are empty.

    Example:
        >>> measured("starting a thread", 6.24e-05, 5e-05)
        starting a thread: 62 µs (predicted: 50 µs)
        >>> measured("starting a thread", 6.24e-05, 5e-05, bet=1e-3)
        starting a thread: 62 µs (predicted: 50 µs; your bet: 1.0 ms, 16 times too much: why?)
    """
    if unit not in _STEPS:
        raise ValueError(f"`unit` must be one of {', '.join(map(repr, _STEPS))}, got {unit!r}")
    if not 0 < predicted < math.inf:
        raise ValueError(f"`predicted` must be positive and finite, got {predicted}")
    if bounds is None:
        bounds = predicted / _WITHIN, predicted * _WITHIN
    if len(bounds) != 2 or not bounds[0] <= bounds[1]:
        raise ValueError(f"`bounds` must be (least, most), got {shorten(bounds)}")
    if bet is not None and bet is not ...:
        bet = check_number(f"the bet on {what!r}", bet, "a number")
        _bets[what] = found = Measurement(what, value, predicted, (bounds[0], bounds[1]), unit, bet)
        return found
    return Measurement(what, value, predicted, (bounds[0], bounds[1]), unit)


class Bets:
    """How the bets went, as a table: each bet and its result."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        self._measurements = list(measurements)

    def __repr__(self) -> str:
        """Return a line for each bet, and how many were near."""
        if not self._measurements:
            return "no bets yet: where a lesson asks for one, write a number in place of the dots"
        near = sum(_times_off(each) <= _NEAR_BET for each in self._measurements)
        width = max(len(each.what) for each in self._measurements)
        lines = [
            f"{each.what:{width}}  {rounded(each.bet or 0.0, each.unit):>8} bet  "
            f"{rounded(each.value, each.unit):>8} seen  {_how_far(each)}"
            for each in self._measurements
        ]
        return printable("\n".join([*lines, f"{near} of {len(lines)} bets were near"]))


def bets() -> Bets:
    """Return how the bets of this session went, in the order in which they were made.

    Example:
        >>> _bets.clear()
        >>> _ = measured("16 at once", 0.027, 0.025, bet=0.025)
        >>> _ = measured("a thread", 6.2e-05, 5e-05, bet=1e-3)
        >>> bets()
        16 at once     25 ms bet     27 ms seen  near
        a thread      1.0 ms bet     62 µs seen  16 times too much
        1 of 2 bets were near
    """
    return Bets(_bets.values())


def _times_off(found: Measurement) -> float:
    bet, value = found.bet or 0.0, found.value
    if bet == value:
        return 1.0
    return max(bet / value, value / bet) if min(bet, value) > 0 else math.inf


def _how_far(found: Measurement) -> str:
    times = _times_off(found)
    if times <= _NEAR_BET:
        return "near"
    way = "too much" if (found.bet or 0.0) > found.value else "too little"
    return way if math.isinf(times) else f"{rounded(times, '')} times {way}"


def rounded(value: float, unit: str = "s") -> str:
    """Return a figure as text, with two digits and in the unit that suits its size.

    Example:
        >>> rounded(0.0001234), rounded(2_345_678, "B"), rounded(1.04, "x")
        ('120 µs', '2.3 MB', '1.0x')
    """
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    digits = float(f"{value:.1e}")  # first, so that 999.9 µs becomes 1.0 ms
    steps = _STEPS[unit]
    size, name = next((step for step in steps if abs(digits) >= step[0]), steps[-1])
    number = digits / size
    whole = abs(number) >= 10 or not number or (not unit and value == int(value))  # a small count
    text = f"{number:,.0f}" if whole else f"{number:.1f}"
    if 0 < abs(number) < 1:
        text = f"{number:.2g}"
    return printable(f"{text}{name}" if unit == "x" else f"{text} {name}".strip())


def plot_measured(measurements: Sequence[Measurement], ax: "Axes | None" = None) -> "Axes":
    """Draw figures of one unit as bars on a logarithmic axis, with a diamond at each prediction.

    A ring marks the reader's bet.

    Args:
        measurements: the figures, from top to bottom.
        ax: the axes to draw on; by default those of a new figure of a suitable height.

    Raises:
        ValueError: there is nothing to draw, or the figures have different units.
        ModuleNotFoundError: matplotlib is not installed.
    """
    units = {measurement.unit for measurement in measurements}
    if len(units) != 1:
        raise ValueError(f"`measurements` must be of one unit, got {sorted(units) or 'none'}")
    (unit,) = units
    ax = rows(ax, [measurement.what for measurement in measurements], each=0.36)
    numbers = range(len(measurements))
    values = [measurement.value for measurement in measurements]
    predictions = [measurement.predicted for measurement in measurements]
    ax.set_xscale("log")
    # bars have no zero to stand on here: they begin a step below the smallest figure
    left = 10 ** (math.floor(math.log10(min(v for v in values + predictions if v > 0))) - 0.5)
    widths = [max(0.0, value - left) for value in values]
    ax.barh(numbers, widths, left=left, height=0.6, color=BLUE, label="measured")
    ax.plot(predictions, numbers, "D", color=VERMILION, mec="white", ms=8, label="predicted")
    given = [(each.bet, row) for row, each in enumerate(measurements) if each.bet]
    if given:
        places, at = zip(*given, strict=True)
        ax.plot(places, at, "o", color="none", mec="black", ms=9, label="your bet")
    for row, measurement in enumerate(measurements):
        # at the end of the bar, unless the diamond is in its way
        is_near = measurement.value <= measurement.predicted <= _NEAR * measurement.value
        end = measurement.predicted if is_near else measurement.value
        ax.text(end * 1.15, row, "  " + rounded(measurement.value, unit), va="center")
    ax.set_xlim(left, 12 * max(values + predictions + [each.bet or 0.0 for each in measurements]))
    name = _UNIT_NAMES[unit]
    ax.set_xlabel(f"{name} (logarithmic)".strip())
    legend(ax)
    return ax
