"""The code at the end of a machine's check, and its meaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncml.course import ready
from asyncml.course.readout import code, explain

NAMES = list(ready.CHECKS)


def explained(wrong, is_ready):
    return explain(code({name: name not in wrong for name in NAMES}, is_ready), NAMES)


def test_a_code_is_six_characters_and_zeros_if_all_is_well():
    well = code(dict.fromkeys(NAMES, True), is_ready=True)
    assert (len(well), well[:5]) == (6, "00000")
    assert explained([], True) == "ready"


@given(st.sets(st.sampled_from(NAMES)), st.booleans())
def test_a_code_says_which_checks_are_not_right(wrong, is_ready):
    names = ", ".join(name for name in NAMES if name in wrong)
    if is_ready:
        assert explained(wrong, True) == ("ready" + f", with a note on {names}" * bool(wrong))
    else:
        assert explained(wrong, False) == f"not ready: look at {names}"


@pytest.mark.parametrize("place", range(6))
def test_one_character_misheard_is_noticed(place):
    right = code({name: name != "kernel" for name in NAMES}, is_ready=False)
    for letter in "0123456789ABCDEFGHJKMNPQRSTVWXYZ":
        heard = right[:place] + letter + right[place + 1 :]
        assert heard == right or explain(heard, NAMES).startswith("no code")


def test_a_code_may_be_heard_as_people_say_it():
    right = code({name: name != "BLAS" for name in NAMES}, is_ready=True)
    said = right.lower().replace("0", "o").replace("1", "l")
    assert explain(f"{said[:3]} {said[3:]}", NAMES) == "ready, with a note on BLAS"


@pytest.mark.parametrize("text", ["", "K", "00000", "UUUUUU", "0000000", "?!", code({}, True)])
def test_what_is_no_code_is_told_so(text):
    assert explain(text, NAMES).startswith("no code of this version")


def test_a_code_of_other_checks_is_refused():
    other = code(dict.fromkeys([*NAMES[1:], "new"], True), is_ready=True)
    assert explain(other, NAMES).startswith("no code of this version")


def test_several_machines_can_be_read_at_once(capsys):
    well = code(dict.fromkeys(NAMES, True), is_ready=True)
    assert ready.explain([well, "what"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{well}  ready"
    assert second.startswith("what  no code")


def test_no_code_at_all_is_a_question(capsys):
    assert ready.explain([]) == 2
    assert "--explain CODE" in capsys.readouterr().out
