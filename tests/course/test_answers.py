"""What an answer must be before it is judged, in any exercise."""

import numpy as np
import pytest

from asyncml.course.exercises import Wrong, answers

LINES = {"A": "a", "B": "b", "C": "c"}


def verdict(function, *args):
    """Return what a `read_...` function returned, or the code and message of its `Wrong`."""
    try:
        return function(*args)
    except Wrong as wrong:
        return wrong.code, wrong.message


class TestLists:
    @pytest.mark.parametrize("answer", [..., None])
    def test_a_stub_is_open(self, answer):
        expected = "open", "put three words in place of the `...`"
        assert verdict(answers.read_list, answer, "three words", "a word") == expected

    @pytest.mark.parametrize("answer", [[1, ...], (..., 2), [None]])
    def test_one_that_is_open_is_said(self, answer):
        expected = "open", "put a word in place of each `...`"
        assert verdict(answers.read_list, answer, "three words", "a word") == expected

    @pytest.mark.parametrize(
        ("answer", "bets"), [([1, 2], [1, 2]), ((1,), [1]), (7, [7]), ("ab", ["ab"]), ([], [])]
    )
    def test_bets_come_as_a_list(self, answer, bets):
        assert answers.read_list(answer, "bets", "a bet") == bets

    def test_bets_that_cannot_be_compared_are_not(self):
        class Broken:
            def __eq__(self, other):
                raise ArithmeticError

            __hash__ = None

        assert len(answers.read_list([Broken()], "bets", "a bet")) == 1

    @pytest.mark.parametrize(
        ("answer", "code"),
        [({"a": 1, "b": 2}, None), ({"a": 1}, "kind"), ({}, "kind"), ([1], "kind"), ("ab", "kind")],
    )
    def test_a_dict_keeps_its_keys(self, answer, code):
        found = verdict(answers.demand_keys, answer, LINES | {"a": 1, "b": 2}, "a dict")
        assert found == ("kind", "a dict")
        found = verdict(answers.demand_keys, answer, ["b", "a"], "a dict")
        assert found == (code and (code, "a dict"))


class TestLines:
    @pytest.mark.parametrize("answer", ["ba", "B, A", ["b", "A"], ("B\n", "a"), "b a", ["ba"]])
    def test_letters_may_be_written_in_any_way(self, answer):
        assert answers.read_lines(answer, LINES, 2, "two") == ["B", "A"]

    @pytest.mark.parametrize(
        ("answer", "code", "message"),
        [
            (..., "open", "put the letters of the lines in place of the `...`"),
            ("AD", "kind", "the answer is a text of letters from A to C, got 'AD'."),
            ("", "kind", "the answer is a text of letters from A to C, got ''."),
            (12, "kind", "the answer is a text of letters from A to C, got 12."),
            ("ABC", "count", "two different lines are needed, got A, B, C."),
            ("AA", "count", "two different lines are needed, got A, A."),
        ],
    )
    def test_others_are_refused(self, answer, code, message):
        assert verdict(answers.read_lines, answer, LINES, 2, "two") == (code, message)


class TestValues:
    def test_numbers(self):
        for value in (1, 2.5, np.int64(4), np.float32(1)):
            assert answers.is_number(value)
        for value in (True, "1", None, [1], 1j):
            assert not answers.is_number(value)

    def test_classes(self):
        assert verdict(answers.demand_class, int) is None
        assert verdict(answers.demand_class, ...) == (
            "open",
            "put your class in place of the `...`",
        )
        assert verdict(answers.demand_class, 3) == ("kind", "a class was expected, got 3.")

    def test_results(self):
        assert answers.read_results(np.arange(2)) == [0, 1]
        assert answers.read_results((1, 2)) == [1, 2]
        assert verdict(answers.read_results, {1: 2}) == (
            "kind",
            "it returned {1: 2}, and not a list.",
        )
        assert verdict(answers.demand_returned, None) == ("no-return", "it returned None.")
        assert verdict(answers.demand_returned, 0) is None

    def test_a_list_of_what_cannot_be_shown_is_a_list(self):
        class Broken:
            def __repr__(self):
                raise ArithmeticError

        assert len(answers.read_results([Broken()])) == 1

    def test_the_order_alone(self):
        assert answers.is_mixed_up([[1], None, "a"], ["a", [1], None])
        assert not answers.is_mixed_up([1, 2], [1, 2, 2])


def test_names_of_functions_within_are_names_too():
    def outer(x):
        def inner():
            return sorted(x.items)

        return [len(one) for one in inner()]

    assert {"sorted", "items", "len"} <= answers.names_of(outer)
    assert "x" not in answers.names_of(outer)
    assert answers.names_of(print, None, 3) == set()
    assert answers.names_of(outer, TestLines.test_others_are_refused) >= {"len", "read_lines"}
