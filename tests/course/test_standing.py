"""A learner's progress: later cells use what has passed, and `progress` shows it."""

import pytest

import asyncml as aml
from asyncml.course.exercises import check, loops, standing, yours_or_ours


@pytest.fixture(autouse=True)
def _nothing_checked_yet(monkeypatch):
    monkeypatch.setattr(standing, "_states", {})
    monkeypatch.setattr(standing, "_passed", {})


def mine(*args):
    return loops.train_loop(*args)


def test_yours_runs_once_it_has_passed_and_ours_before(capsys):
    assert yours_or_ours("08-train") is loops.train_loop
    check("08-train", lambda *args: [])
    assert yours_or_ours("08-train") is loops.train_loop
    said = "with our answer to 08-train, since yours has not passed its check yet\n"
    assert capsys.readouterr().out == said * 2
    assert check("08-train", mine).code == "passed"
    assert check("08-train", ...).code == "open"  # what has passed stays passed
    assert yours_or_ours("08-train") is mine
    assert capsys.readouterr().out == "with your answer to 08-train\n"


def test_a_solution_is_not_yours():
    assert check("08-train", mine, solution=True).code == "passed"
    assert yours_or_ours("08-train") is loops.train_loop
    assert "0 of" in repr(aml.progress(8))


def test_an_exercise_whose_answer_no_cell_needs_has_none_of_ours():
    with pytest.raises(ValueError, match="we have no answer to '01-bet'; we have: "):
        yours_or_ours("01-bet")


def test_progress_tells_what_has_passed_and_what_was_wrong():
    check("01-bet", 1)
    check("01-parsons", "DBEA")
    lines = repr(aml.progress()).splitlines()
    assert lines[0] == "lesson 01: 1 of 7 passed"
    assert lines[1].startswith("✘ bet (overlap)  ○ in-order")
    assert lines[1].endswith("✔ parsons")
    check("01-bet", 2)
    check("01-bet", 1)
    assert repr(aml.progress("01")) == repr(aml.progress(1))
    assert "✔ bet  " in repr(aml.progress())


def test_progress_needs_a_lesson():
    with pytest.raises(ValueError, match="name a lesson"):
        aml.progress()
    with pytest.raises(ValueError, match="there is no lesson 77"):
        aml.progress(77)
