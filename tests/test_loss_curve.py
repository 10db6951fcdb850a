"""The curve of a training: what it draws, how often, and that it is drawn in place."""

import matplotlib.pyplot as plt
import pytest

from asyncml import loss_curve
from asyncml.loss_curve import LossCurve
from asyncml.training import Step
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


def test_drawing_waits_a_multiple_of_what_it_took(monkeypatch):
    now, drawn = [100.0], []

    def show(self):
        drawn.append(now[0])
        now[0] += 0.1
        return True

    monkeypatch.setattr(loss_curve.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(LossCurve, "_show", show)
    curve = LossCurve(every_s=0.5)
    for step in steps(100):
        curve.add(step)
        now[0] += 0.05
    assert [round(at - 100, 2) for at in drawn] == pytest.approx([0, 2.1, 4.2], abs=0.06)


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


LIVE = """
import asyncml as aml
from asyncml.training import Step
curve = aml.LossCurve(every_s=0)
for n in range(2000):
    curve.add(Step(0, n, 1 / (n + 1), 64, 0.0, 0.0))
    if n in (0, 1999):
        curve._next_s = 0
curve.add(Step(0, 2000, 0.1, 64, 0.0, 0.0))
"""


def test_in_a_notebook_one_figure_is_drawn_in_its_place(tmp_path):
    kernel = Kernel(tmp_path)
    try:
        run = kernel.run(LIVE)
        assert run.status == "ok", run.outputs
        assert [out["output_type"] for out in run.outputs] == ["display_data"]
        assert run.outputs[0]["data"]["image/png"]
        assert not run.late
    finally:
        kernel.stop()
