"""Figures in one line: rounding, bounds, the mark of a miss, and the drawing."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from asyncml.course import measuring
from asyncml.course.measuring import MISSED, bets, measured, plot_measured, rounded


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 ns"),
        (1.234e-9, "s", "1.2 ns"),
        (1.04e-7, "s", "100 ns"),
        (999.9e-6, "s", "1.0 ms"),
        (0.0999, "s", "100 ms"),
        (1.26, "s", "1.3 s"),
        (12345, "s", "12,000 s"),
        (3.4e-10, "s", "0.34 ns"),
        (512, "B", "510 B"),
        (2_345_678, "B", "2.3 MB"),
        (1.04, "x", "1.0x"),
        (0.0512, "x", "0.051x"),
        (16.4, "x", "16x"),
        (19.6, "", "20"),
        (6, "", "6"),
        (2.5, "", "2.5"),
        (-0.002, "s", "-2.0 ms"),
        (math.inf, "s", "inf s"),
    ],
)
def test_two_digits_in_a_unit_that_suits(value, unit, text):
    assert rounded(value, unit) == text


def test_a_figure_within_its_bounds():
    found = measured("starting a thread", 6.2e-5, 5e-5)
    assert found.is_expected
    assert repr(found) == "starting a thread: 62 µs (predicted: 50 µs)"


@pytest.mark.parametrize("value", [4.9e-6, 5.1e-4, math.nan])
def test_a_figure_outside_of_its_bounds_is_marked(value):
    found = measured("starting a thread", value, 5e-5)
    assert not found.is_expected
    assert f"{MISSED} 50 µs, or 5.0 µs to 500 µs: is the machine busy" in repr(found)


def test_bounds_of_ones_own():
    assert measured("ratio", 1.2, 1.0, unit="x", bounds=(0.8, 1.25)).is_expected
    assert not measured("ratio", 1.3, 1.0, unit="x", bounds=(0.8, 1.25)).is_expected


def test_bounds_may_be_an_array():
    assert measured("it", 1.5, 1.0, bounds=np.array([1, 2])).is_expected
    assert not measured("it", 0.5, 1.0, bounds=np.zeros(2)).is_expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predicted": 0}, "`predicted` must be positive and finite, got 0"),
        ({"predicted": math.nan}, "`predicted` must be positive"),
        ({"unit": "ms"}, "`unit` must be one of 's', 'B', 'x', '', got 'ms'"),
        ({"bounds": (2, 1)}, "`bounds` must be (least, most), got (2, 1)"),
        ({"bounds": ()}, "`bounds` must be (least, most), got ()"),
        ({"bounds": (1, 2, 3)}, "`bounds` must be (least, most), got (1, 2, 3)"),
        ({"bounds": (math.nan, 2)}, "`bounds` must be (least, most), got (nan, 2)"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=r"must be") as caught:
        measured("it", 1.0, **{"predicted": 1.0, **arguments})
    assert message in str(caught.value)


def test_drawn_beside_the_prediction():
    rows = [measured("a coroutine", 2e-7, 1e-7), measured("a thread", 6e-5, 5e-5)]
    ax = plot_measured(rows)
    assert ax.get_xscale() == "log"
    assert "seconds" in ax.get_xlabel()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a coroutine", "a thread"]
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx([2e-7, 6e-5])
    assert list(ax.lines[0].get_xdata()) == [1e-7, 5e-5]
    plt.close(ax.figure)


def test_drawn_on_given_axes_and_one_unit_only():
    figure, ax = plt.subplots()
    assert plot_measured([measured("it", 1, 1)], ax) is ax
    plt.close(figure)
    with pytest.raises(ValueError, match="one unit, got none"):
        plot_measured([])
    with pytest.raises(ValueError, match=r"one unit, got \['B', 's'\]"):
        plot_measured([measured("a", 1, 1), measured("b", 1, 1, unit="B")])


@pytest.fixture
def no_bets(monkeypatch):
    monkeypatch.setattr(measuring, "_bets", {})


@pytest.mark.parametrize("nothing", [..., None])
def test_a_bet_that_is_not_made_leaves_no_trace(nothing, no_bets):
    assert repr(measured("it", 1.0, 1.0, bet=nothing)) == "it: 1.0 s (predicted: 1.0 s)"
    assert repr(bets()).startswith("no bets yet")


def test_a_bet_stands_beside_the_prediction(no_bets):
    found = measured("it", 1.0, 1.0, bet=np.float32(0.5))
    assert repr(found) == "it: 1.0 s (predicted: 1.0 s; your bet: 500 ms)"


@pytest.mark.parametrize("wrong", ["1 s", True, [1], object])
def test_a_bet_is_a_number(wrong, no_bets):
    with pytest.raises(TypeError, match="`the bet on 'it'` must be a number"):
        measured("it", 1.0, 1.0, bet=wrong)


def test_how_the_bets_went(no_bets):
    measured("near", 10, 10, bet=12, unit="")
    measured("far", 10, 10, bet=1000, unit="")
    measured("nothing", 10, 10, bet=0, unit="")
    measured("changed", 1.0, 1.0, bet=50)
    measured("changed", 1.0, 1.0, bet=0.25)
    measured("none", 0.0, 1.0, bet=0)
    lines = repr(bets()).splitlines()
    assert [line.split("seen")[1].strip() for line in lines[:-1]] == [
        "near",
        "100 times too much",
        "too little",
        "4 times too little",
        "near",
    ]
    assert lines[-1] == "2 of 5 bets were near"


def test_a_bet_is_drawn_as_a_ring(no_bets):
    ax = plot_measured([measured("a", 1.0, 1.0, bet=30.0), measured("b", 2.0, 2.0)])
    rings = next(line for line in ax.lines if line.get_label() == "your bet")
    assert [*rings.get_xdata()] == [30.0]
    assert ax.get_xlim()[1] > 30
    plt.close("all")


@pytest.mark.parametrize(
    ("bet", "words"),
    [(1.0, "1.0 s)"), (2.0, "2.0 s)"), (0.2, "200 ms, 5 times too little: why?)")],
)
def test_a_bet_that_was_far_off_is_asked_about(bet, words):
    assert repr(measured("a wait", 1.0, 1.0, bet=bet)).endswith(f"your bet: {words}")
