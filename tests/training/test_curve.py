"""The curve of a training: what it draws, how often, and that it is drawn in place."""

import ast
import itertools
import weakref

import matplotlib.pyplot as plt
import pytest

from asyncml.training.curve import LossCurve
from asyncml.training.step import Step
from tests.notebook_kernel import Kernel


def steps(count, loss=lambda n: 1 / (n + 1)):
    return [Step(n // 10, n % 10, loss(n), 64, 0.01, 0.03) for n in range(count)]


def filled(count, **options):
    curve = LossCurve(live=False, **options)
    for step in steps(count):
        curve.add(step)
    return curve


def test_the_summary_has_loss_accuracy_and_times():
    curve = filled(50)
    curve.add_accuracy(0.5)
    figure = curve.plot()
    left, times, right = figure.axes
    assert list(left.lines[0].get_ydata()) == pytest.approx([1 / (n + 1) for n in range(50)])
    assert left.get_xlabel(), left.get_ylabel() == ("step", "loss")
    assert list(right.lines[0].get_xydata()[0]) == [50, 0.5]
    assert [bar.get_width() for bar in times.patches] == pytest.approx([0.5, 1.5])
    plt.close(figure)


def test_many_steps_are_averaged_and_none_is_left_out_before_the_last_few():
    curve = LossCurve(live=False)
    for step in steps(1000, loss=lambda n: n % 5):
        curve.add(step)
    figure = curve.plot()
    line = figure.axes[0].lines[0]
    assert len(line.get_xdata()) == 200
    assert set(line.get_ydata()) == {2.0}
    assert "mean of 5 steps" in line.get_label()
    plt.close(figure)


def test_outside_of_a_notebook_nothing_is_drawn_before_plot(monkeypatch):
    curve = LossCurve()
    monkeypatch.setattr(LossCurve, "_picture", None)  # would raise
    for step in steps(3):
        curve.add(step)
    assert repr(curve).startswith("LossCurve(3 steps, loss 0.333, 25%")


def test_the_state_of_the_data_is_not_kept():
    class State(dict):
        """That can be looked at without being kept."""

    curve, state = LossCurve(live=False), State(buffer=list(range(1000)))
    curve.add(Step(0, 1, 0.5, 64, 0.01, 0.03, state))
    alive = weakref.ref(state)
    del state
    assert alive() is None
    assert curve.steps == [Step(0, 1, 0.5, 64, 0.01, 0.03)]


def test_a_single_step_is_a_point():
    figure = filled(1).plot()
    assert figure.axes[0].lines[0].get_marker() == "o"
    plt.close(figure)


def test_what_cannot_be_right_is_said_at_once():
    with pytest.raises(ValueError, match="`every_s` must be >= 0, got -1"):
        LossCurve(every_s=-1)
    with pytest.raises(TypeError, match="`step` must be a Step"):
        LossCurve().add(0.5)
    with pytest.raises(ValueError, match="from 0 to 1, got 85"):
        LossCurve().add_accuracy(85)
    with pytest.raises(ValueError, match="add the steps"):
        LossCurve().plot()
    assert repr(LossCurve()) == "LossCurve(no steps)"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    try:
        assert kernel.run(SET_UP).status == "ok"
        yield kernel
    finally:
        kernel.stop()


SET_UP = """
import asyncio, sys, time
from types import SimpleNamespace
import asyncml as aml
from asyncml.training import curve as loss_curve
from asyncml.training.step import Step

def step(n):
    return Step(0, n, 1 / (n + 1), 64, 0.0, 0.0)

class Curve(aml.LossCurve):
    def _picture(self):
        drawn.append(len(self.steps))
        return super()._picture()

def watched():
    callbacks = get_ipython().events.callbacks["post_run_cell"]
    return [each for each in callbacks if "LossCurve" in repr(each) or "Curve" in repr(each)]
"""

# the end of the cell before its last line, and whether it ends with an error
ENDINGS = {
    "for n in range(3): curve.add(step(n))": "ok",
    "for n in range(9):\n    curve.add(step(n))\n    if n == 2: break": "ok",
    "for n in range(3): curve.add(step(n))\n1 / 0": "error",
    "for n in range(3): curve.add(step(n))\nraise KeyboardInterrupt": "error",
    "for n in range(3): curve.add(step(n))\nsys.exit": "ok",
    "for n in range(3): curve.add(step(n))\nraise asyncio.CancelledError": "error",
    "for n in range(3):\n    curve.add(step(n))\n    await asyncio.sleep(0)": "ok",
}


@pytest.mark.parametrize("loop", ENDINGS)
def test_in_a_notebook_it_is_drawn_from_the_second_step_on_and_once_more_at_the_end(kernel, loop):
    run = kernel.run(f"drawn, curve = [], Curve(every_s=1000)\n{loop}")
    assert run.status == ENDINGS[loop], run.outputs
    pictures = [out for out in run.outputs if out["output_type"] == "display_data"]
    assert len(pictures) == 1  # in its place
    assert pictures[0]["data"]["image/png"]
    assert not run.late
    assert said(kernel, "print(drawn, watched())") == "[2, 3] []\n"


def said(kernel, source):
    run = kernel.run(source)
    assert run.status == "ok", run.outputs
    return "".join(out["text"] for out in run.outputs if out["output_type"] == "stream")


def test_what_a_later_cell_adds_is_drawn_at_its_end_in_the_first_ones_place(kernel):
    run = kernel.run(
        "drawn, curve = [], Curve(every_s=1000)\nfor n in range(2): curve.add(step(n))"
    )
    assert [out["output_type"] for out in run.outputs] == ["display_data"]
    assert said(kernel, "print(drawn, watched())") == "[2] []\n"  # nothing new: drawn once
    for source in ("curve.add(step(2))", "curve.add_accuracy(0.5)"):
        run = kernel.run(source)
        assert (run.status, run.outputs) == ("ok", [])
        assert run.late == ["a display of an earlier cell was updated"]
    assert said(kernel, "print(drawn, watched())") == "[2, 3, 3] []\n"


@pytest.mark.parametrize(
    ("source", "drawn"),
    [
        ("curve.add(step(0))", "[1]"),
        ("curve.add_accuracy(0.5)", "[]"),
        ("curve = Curve(live=False)\nfor n in range(9): curve.add(step(n))", "[]"),
    ],
)
def test_at_the_end_there_may_be_little_to_draw(kernel, source, drawn):
    run = kernel.run(f"drawn, curve = [], Curve()\n{source}")
    assert run.status == "ok", run.outputs
    assert said(kernel, "print(drawn, watched())") == f"{drawn} []\n"


PACE = """
drawn, now = [], [100.0]

class Slow(Curve):
    def _picture(self):
        picture = super()._picture()
        drawn[-1] = round(now[0] - 100, 2)
        now[0] += 0.1  # what a drawing takes
        return picture

loss_curve.time = SimpleNamespace(perf_counter=lambda: now[0])
curve = Slow(every_s=0.2)
for n in range(200):
    curve.add(step(n))
    now[0] += 0.05
loss_curve.time = time
print(drawn)
"""


def test_drawing_waits_ever_longer_up_to_twenty_times_what_it_took(kernel):
    times = ast.literal_eval(said(kernel, PACE))
    expected = [0.05, 0.35, 0.85, 1.75, 3.45, 5.55, 7.65, 9.75]  # 0.2, 0.4, 0.8, 1.6, 2, 2, ... on
    assert times == pytest.approx(expected, abs=0.08 * len(expected))
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps == pytest.approx([0.3, 0.5, 0.9, 1.7, 2.1, 2.1, 2.1], abs=0.06)
