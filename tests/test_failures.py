"""Anything added to an error never replaces it."""

from dataclasses import dataclass
from typing import Any

import pytest

from asyncml.failures import add_note, noted, shorten


@dataclass(frozen=True)
class Frozen(Exception):
    path: str


class Slotted(Exception):
    __slots__ = ("path",)


class Stubborn(Exception):
    def add_note(self, note: str) -> None:
        raise TypeError("no notes, please")


class Sealed(Exception):
    """An error that cannot take notes: its `__notes__` is an attribute of another kind."""

    __notes__ = property(lambda self: 1 / 0)


@pytest.mark.parametrize("error", [Frozen("a"), Slotted("a"), Stubborn("a"), ValueError("a")])
def test_any_error_gets_its_note(error: Exception) -> None:
    add_note(error, "first")
    add_note(error, "second")
    assert error.__notes__ == ["first", "second"]


def test_an_error_that_takes_no_note_stays_as_it_is() -> None:
    error = Sealed("a")
    assert noted("load", error, "in the source") is error


class Broken:
    def __repr__(self) -> str:
        raise OSError("no repr")


class Weird:
    def __repr__(self) -> Any:
        return 3


VALUES = [Broken(), Weird(), 10**5000, [10**5000], {"a": Broken()}]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_without_a_repr_has_a_short_name(value: object) -> None:
    names = type(value).__name__, "Broken", "<int instance"  # the last from Python 3.14 on
    assert any(name in shorten(value) for name in names)
    assert len(shorten(value)) < 200


def test_a_long_value_is_cut() -> None:
    assert len(shorten("x" * 10_000)) < 100
    assert len(shorten(b"x" * 10_000)) < 100
