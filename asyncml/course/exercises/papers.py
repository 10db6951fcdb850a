"""The exam of a whole class: each learner hands in a file before the course and one after it.

`hand_in` writes it into a folder that the class shares, and `room(folder)` compares the shares of
right answers before and after, for each question and overall. A nickname will do as a name.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from asyncml.course.exercises.exam import TOPICS, meaning, read
from asyncml.look import printable

_FORMS = ("exam-before", "exam-after")


def hand_in(folder: str | os.PathLike[str], form: str, name: str, answers: Sequence[str]) -> Path:
    """Write twelve answers into the shared folder; the same name replaces its own earlier file.

    Args:
        folder: created if it is missing.
        form: "exam-before" or "exam-after".
        name: a nickname, the same both times.
        answers: twelve of "A" to "D", or "?" for "I do not know".

    Returns:
        The path of the file.

    Raises:
        ValueError: there is no such form.
        Wrong: these are not twelve answers.
    """
    if form not in _FORMS:
        raise ValueError(f"`form` must be one of {', '.join(_FORMS)}, got {form!r}")
    letters = "".join(read(list(answers)))
    file = re.sub(r"\W+", "_", name.casefold()).strip("_") or "nobody"
    path = Path(folder) / f"{form}-{file}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"name": name, "form": form, "answers": letters}, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


class Room:
    """A class's answers before and after; its repr is a table.

    Attributes:
        papers: for each form, each learner's answers, by the name in the file's name.
        unread: names of files that are not valid papers.
    """

    def __init__(self, papers: dict[str, dict[str, str]], unread: list[str]) -> None:
        self.papers, self.unread = papers, unread

    def share(self, form: str, number: int, *, who: set[str] | None = None) -> float | None:
        """Return the share of learners who had a question right, or None if there are no learners.

        Args:
            form: "exam-before" or "exam-after".
            number: the question's number, from 1.
            who: the learners to count; by default all.
        """
        letters = [text[number - 1] for name, text in self.papers[form].items() if _in(name, who)]
        right = [letter != "?" and meaning(form, number, letter) == 0 for letter in letters]
        return sum(right) / len(right) if right else None

    def __repr__(self) -> str:
        """Return a table of percentages before and after, of those who handed in both forms."""
        before, after = (self.papers[form] for form in _FORMS)
        both = set(before) & set(after)
        who = both or None  # if nobody did, count everybody
        told = f"{len(before)} before, {len(after)} after, {len(both)} of them both times"
        lines = [told, "", "question  lesson  before   after"]
        columns: list[list[float]] = [[], []]
        for number, topic in enumerate(TOPICS, start=1):
            shares = [self.share(form, number, who=who) for form in _FORMS]
            lines.append(f"{number:8}  {topic.lesson:>6}  {'  '.join(map(_per_cent, shares))}")
            for column, share in zip(columns, shares, strict=True):
                column += [] if share is None else [share]
        means = [sum(column) / len(column) if column else None for column in columns]
        lines.append(f"     all          {'  '.join(map(_per_cent, means))}")
        lines += [f"not read: {name}" for name in self.unread]
        return printable("\n".join(lines))


def room(folder: str | os.PathLike[str]) -> Room:
    """Return the papers in a folder; `unread` names the files that cannot be read."""
    papers: dict[str, dict[str, str]] = {form: {} for form in _FORMS}
    unread = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            form, letters = found["form"], found["answers"]
            if not re.fullmatch(r"[A-D?]+", letters) or len(letters) != len(TOPICS):
                raise ValueError("not twelve letters")
            papers[form][path.stem.removeprefix(form)] = letters
        except (OSError, ValueError, KeyError, TypeError):
            unread.append(path.name)
    return Room(papers, unread)


def _in(name: str, who: set[str] | None) -> bool:
    return who is None or name in who


def _per_cent(share: float | None) -> str:
    return "     -" if share is None else f"{100 * share:4.0f} %"
