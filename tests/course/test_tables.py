"""All answers to an exercise are one test: each is tried, and a failure names the answer."""

import asyncio

import pytest

from tests.course.tables import Case, every

CASES = [Case("a", number, code) for number, code in enumerate(["passed", "wrong", "passed"])]


def run(test):
    """Run a test of one exercise's cases, as pytest does."""
    (made,) = (mark for mark in test.pytestmark if mark.name == "parametrize")
    (param,) = made.args[1]
    assert param.id == "a"
    test(param.values[0])


def test_each_answer_is_tried_and_each_failure_named():
    tried = []

    @every(CASES)
    def judged(case):
        tried.append(case.answer)
        assert case.answer == 1

    with pytest.raises(ExceptionGroup) as caught:
        run(judged)
    assert tried == [0, 1, 2]
    notes = [error.__notes__[0] for error in caught.value.exceptions]
    assert ["answer=0" in notes[0], "answer=2" in notes[1]] == [True, True]


@pytest.mark.untidy
def test_only_a_wrong_answer_may_leave_something_behind():
    async def leave():
        asyncio.create_task(asyncio.sleep(9), name="left")  # noqa: RUF006

    @every(CASES)
    def judged(case):
        if case.answer < 2:
            asyncio.run(leave())

    with pytest.raises(AssertionError, match=r"'left'.* was left to be cancelled") as caught:
        run(judged)
    assert "answer=0" in caught.value.__notes__[0]
