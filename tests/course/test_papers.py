"""What a class knew before and after, from the files that learners hand in."""

import pytest

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.exam import TOPICS, meaning
from asyncml.course.exercises.papers import hand_in, room

COUNT = len(TOPICS)


def right(form, number):
    return next(letter for letter in "ABCD" if meaning(form, number, letter) == 0)


def answers(form, known):
    """Return answers of which the first are right and the others "?"."""
    return [right(form, n) if n <= known else "?" for n in range(1, COUNT + 1)]


def test_a_room_is_compared_question_by_question(tmp_path):
    for name, before, after in ("Ada", 2, 12), ("Zoë", 4, 6):
        hand_in(tmp_path, "exam-before", name, answers("exam-before", before))
        hand_in(tmp_path, "exam-after", name, answers("exam-after", after))
    seen = room(tmp_path)
    assert [seen.share("exam-before", n) for n in (1, 3, 5)] == [1, 0.5, 0]
    assert [seen.share("exam-after", n) for n in (1, 7)] == [1, 0.5]
    lines = repr(seen).splitlines()
    assert lines[0] == "2 before, 2 after, 2 of them both times"
    assert lines[3] == "       1      01   100 %   100 %"
    assert lines[-1] == "     all            25 %    75 %"


def test_who_came_only_once_does_not_tilt_the_comparison(tmp_path):
    hand_in(tmp_path, "exam-before", "left early", answers("exam-before", 12))
    hand_in(tmp_path, "exam-before", "stayed", answers("exam-before", 0))
    hand_in(tmp_path, "exam-after", "Stayed ", answers("exam-after", 6))
    seen = room(tmp_path)
    assert repr(seen).splitlines()[-1] == "     all             0 %    50 %"
    assert seen.share("exam-before", 1) == 0.5


def test_before_the_course_there_is_only_the_first_column(tmp_path):
    hand_in(tmp_path / "new", "exam-before", "Ada", answers("exam-before", 3))
    assert repr(room(tmp_path / "new")).splitlines()[-1] == "     all            25 %       -"
    assert repr(room(tmp_path)).splitlines()[-1] == "     all               -       -"


def test_a_name_replaces_its_own_paper_whatever_its_signs(tmp_path):
    hand_in(tmp_path, "exam-before", "../Ada", answers("exam-before", 1))
    path = hand_in(tmp_path, "exam-before", "../ada", answers("exam-before", 12))
    assert path.parent == tmp_path
    assert room(tmp_path).share("exam-before", COUNT) == 1


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"form": "exam-before", "answers": "ABC"}',
        '{"form": "exam-before", "answers": 1}',
        '{"form": "exam", "answers": "ABCDABCDABCD"}',
    ],
)
def test_a_file_that_is_no_paper_is_named(tmp_path, text):
    (tmp_path / "strange.json").write_text(text, encoding="utf-8")
    assert repr(room(tmp_path)).endswith("not read: strange.json")


def test_what_is_no_answer_or_no_form_is_refused(tmp_path):
    with pytest.raises(Wrong, match="twelve answers"):
        hand_in(tmp_path, "exam-before", "Ada", ["A"])
    with pytest.raises(ValueError, match="`form` must be one of exam-before"):
        hand_in(tmp_path, "before", "Ada", answers("exam-before", 1))
    assert list(tmp_path.iterdir()) == []
