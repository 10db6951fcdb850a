"""Quotes: the output of a lesson's cell, as stored."""

import pytest

from asyncml.course.quotes import quote

LESSON = "01_from_await_to_callbacks"


def test_what_was_printed_is_quoted_line_by_line():
    lines = quote(f"{LESSON}#sample-run").lines
    assert lines[:2] == ("model trained", "saved: None")
    assert quote(f"{LESSON}#sample-run", only="saved").lines == ("saved: None",)
    shown = repr(quote(f"{LESSON}#sample-run", only="saved"))
    assert shown == "01, sample-run:\n  saved: None"


def test_an_error_is_quoted_by_its_type_and_message():
    (line,) = quote("02_your_notebook_is_an_event_loop#run-here").lines
    assert line.startswith("RuntimeError: asyncio.run() cannot be called")


def test_the_value_of_a_cell_is_quoted():
    (line,) = quote("02_your_notebook_is_an_event_loop#await-here").lines
    assert line == "'Hello, world!'"


def test_a_picture_comes_without_its_name():
    seen = quote("08_a_network_in_numpy#onion-figure")
    assert seen.lines == ()
    assert seen._repr_png_().startswith(b"\x89PNG")
    assert quote(f"{LESSON}#sample-run")._repr_png_() is None


@pytest.mark.parametrize(
    ("address", "only", "words"),
    [
        ("99_none#x", "", "no lesson '99_none'"),
        (f"{LESSON}#none", "", "'none' of"),
        (f"{LESSON}#title", "", "'title' of"),
        (f"{LESSON}#sample-run", "elephants", "with 'elephants' in it"),
    ],
)
def test_what_cannot_be_quoted_is_an_error(address, only, words):
    with pytest.raises(ValueError, match=words):
        quote(address, only)
