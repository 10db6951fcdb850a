"""The results of `python -m asyncml` as a code of six characters, to be read out or mailed.

The first five characters hold one bit per check; the last one exposes a code that was misheard or
comes from another version of the course. Zeros mean that all is well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, and no U
_HEARD = str.maketrans({"I": "1", "L": "1", "O": "0", "-": "", " ": ""})


def code(found: Mapping[str, bool], is_ready: bool) -> str:
    """Return the code for the results of the checks.

    Args:
        found: for each check, in order, whether it passed.
        is_ready: whether the course can be run.

    Example:
        >>> code({"Python": True, "kernel": False}, is_ready=False)
        '5G'
    """
    states = [is_ready, *found.values()]
    number = sum(1 << place for place, ok in enumerate(states) if not ok)
    digits = [_DIGITS[number >> 5 * place & 31] for place in range(-(-len(states) // 5))]
    return "".join(digits) + _sign("".join(digits), list(found))


def explain(text: str, names: Sequence[str]) -> str:
    """Return the meaning of a code.

    Args:
        text: the code, in upper or lower case, with O for 0 and I or L for 1 if need be.
        names: the names of the checks, in order.

    Example:
        >>> explain("5g", ["Python", "kernel"])
        'not ready: look at kernel'
    """
    heard = text.upper().translate(_HEARD)
    digits, sign = heard[:-1], heard[-1:]
    is_whole = len(digits) == -(-(len(names) + 1) // 5) and set(heard) <= set(_DIGITS)
    if not is_whole or sign != _sign(digits, names):
        return "no code of this version of the course: ask for it again, letter by letter"
    number = sum(_DIGITS.index(digit) << 5 * place for place, digit in enumerate(digits))
    wrong = [name for place, name in enumerate(names, start=1) if number >> place & 1]
    if number & 1:
        return f"not ready: look at {', '.join(wrong)}"
    return "ready" + (f", with a note on {', '.join(wrong)}" if wrong else "")


def _sign(digits: str, names: Sequence[str]) -> str:
    """Return a digit that changes if any single digit does: odd factors have an inverse mod 32."""
    total = sum((2 * place + 1) * _DIGITS.index(digit) for place, digit in enumerate(digits))
    return _DIGITS[(crc32(" ".join(names).encode()) + total) % 32]
