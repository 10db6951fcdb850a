"""What a console can show: an old Windows console, or a pipe without UTF-8, lacks our marks."""

import sys

_PLAIN = str.maketrans({"✔": "+", "✘": "x", "○": "o", "…": "~", "µ": "u"})


def printable(text: str) -> str:
    """Return a text as standard output can print it, with plain characters for those it lacks.

    Each takes one column as before. Where the output has all of them, as in a notebook, the text
    is returned as it is.

    Example:
        >>> printable("✔ passed, in 62 µs")
        '✔ passed, in 62 µs'
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if text.isascii() or _can(encoding, text):
        return text
    lacking = {ord(mark) for mark in set(text) if not _can(encoding, mark)}
    return text.translate({mark: _PLAIN.get(mark, "?") for mark in lacking})


def _can(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # nobody knows an encoding of that name
        return text.isascii()
    return True
