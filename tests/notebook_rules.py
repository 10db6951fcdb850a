"""The rules for lessons that can be checked without running them, one function per rule.

A rule takes a notebook as read from JSON, and its name without suffix. It returns a sentence for
each place that breaks it.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests import notebook_minutes, notebook_words
from tests.notebook_compare import EXPECTS_ERROR, IMAGE, NOT_COMPARED, tags

LONG = "long"
SOLUTION = "solution"
HIDE_INPUT = "hide-input"
TAGS = {EXPECTS_ERROR, NOT_COMPARED, LONG, SOLUTION, HIDE_INPUT}

LINES, LINES_LONG = 10, 25
MAX_BYTES = 600_000
EXERCISES = 3
OPENING = ("What you'll do", "What you'll learn", "What you need", "How long it takes")
CLOSING = ["Key points", "Further reading"]
START = "00_start_here"
EXAMS = ("exam_before", "exam_after")
WITHOUT_EXERCISES = (START, "12_capstone", "13_questions_and_answers", *EXAMS)
TO_LOOK_UP = ("13_questions_and_answers", *EXAMS)  # not read from end to end
NEAR_ENOUGH = 0.25  # of the stated minutes, or two minutes
WITHOUT_DOING, WITHOUT_WRITING = 7, 15  # minutes at most
NOTEBOOK_METADATA = {"kernelspec", "language_info"}
CELL_METADATA = {"tags", "jupyter", "cellView", "editable", "slideshow"}
MACHINE = re.compile(
    r"/home/\w+|/Users/\w+|/root/|/tmp/|/var/folders/|[A-Z]:\\+(?!n\b)\w+|site-packages|ipykernel_\d+"
    r"|\b0x[0-9a-fA-F]{6,}\b"
)

Notebook = dict[str, Any]
Rule = Callable[[Notebook, str], list[str]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Register a rule for every notebook; a decorator."""
    RULES.append(function)
    return function


@rule
def has_a_numbered_name(nb: Notebook, name: str) -> list[str]:
    """Lessons sort in the order of the course, and the exams come after them."""
    good = name in EXAMS or re.fullmatch(r"\d\d_[a-z0-9]+(_[a-z0-9]+)*", name)
    return [] if good else [f"{name!r} is not a name like '03_build_an_event_loop'"]


@rule
def has_the_format(nb: Notebook, name: str) -> list[str]:
    """Version 4.5 is the first that has cell ids."""
    version = (nb["nbformat"], nb["nbformat_minor"])
    return [] if version == (4, 5) else [f"format must be 4.5, got {version[0]}.{version[1]}"]


@rule
def runs_on_any_python(nb: Notebook, name: str) -> list[str]:
    """The kernel is called python3 everywhere; a version in the file would change on every save."""
    kernel = nb["metadata"].get("kernelspec", {}).get("name")
    language = nb["metadata"].get("language_info", {})
    found = [] if kernel == "python3" else [f"the kernelspec must be 'python3', got {kernel!r}"]
    if language.get("name") != "python":
        found.append(f"the language must be 'python', got {language.get('name')!r}")
    if "version" in language:
        found.append(f"language_info names a Python version: {language['version']!r}")
    return found


@rule
def has_lean_metadata(nb: Notebook, name: str) -> list[str]:
    """Editors leave times, widget states and settings behind."""
    found = [f"notebook metadata {key!r}" for key in nb["metadata"].keys() - NOTEBOOK_METADATA]
    for label, cell in _cells(nb):
        found += [f"{label}: metadata {key!r}" for key in cell["metadata"].keys() - CELL_METADATA]
    return sorted(found)


@rule
def has_no_widgets(nb: Notebook, name: str) -> list[str]:
    """A widget is dead in a committed notebook."""
    return [
        f"{label}: a widget"
        for label, output in _outputs(nb)
        if any("widget" in mime for mime in output.get("data", {}))
    ]


@rule
def has_unique_cell_ids(nb: Notebook, name: str) -> list[str]:
    """A translation finds its cells by their ids."""
    ids = [cell.get("id", "") for cell in nb["cells"]]
    found = [f"cell id {i!r} is not of the format" for i in ids if not _is_id(i)]
    return found + [f"cell id {i!r} occurs {ids.count(i)} times" for i in sorted(_repeated(ids))]


@rule
def uses_known_tags(nb: Notebook, name: str) -> list[str]:
    """A misspelt tag would be ignored."""
    return [
        f"{label}: tag {tag!r} is none of {', '.join(sorted(TAGS))}"
        for label, cell in _cells(nb)
        for tag in sorted(set(tags(cell)) - TAGS)
    ]


@rule
def says_what_is_not_compared(nb: Notebook, name: str) -> list[str]:
    """A reader must see that a cell's numbers differ from run to run; tags are not shown."""
    return [
        f"{label}: tagged {NOT_COMPARED!r}, so it needs a comment `# measured ...`"
        for label, cell in _code(nb)
        if NOT_COMPARED in tags(cell)
        and not re.search(r"^\s*# measured\b", source(cell), re.MULTILINE)
    ]


@rule
def was_executed_in_order(nb: Notebook, name: str) -> list[str]:
    """Restart and run all: counts from 1 without a gap, and no empty cell."""
    found = []
    for expected, (label, cell) in enumerate(_code(nb), start=1):
        counts = {out["execution_count"] for out in cell["outputs"] if "execution_count" in out}
        if counts | {cell["execution_count"]} != {expected}:
            found.append(f"{label}: execution count {cell['execution_count']}, not {expected}")
    return found + [f"{label}: empty" for label, cell in _cells(nb) if not source(cell).strip()]


@rule
def has_short_cells(nb: Notebook, name: str) -> list[str]:
    """One idea in a cell; more only to define the lesson's subject."""
    found = []
    for label, cell in _code(nb):
        lines, limit = len(source(cell).splitlines()), LINES_LONG if LONG in tags(cell) else LINES
        if lines > limit:
            found.append(f"{label}: {lines} lines, at most {limit}")
    return found


@rule
def has_no_stray_error(nb: Notebook, name: str) -> list[str]:
    """An error is there only if it is the point; nothing is written to stderr."""
    found = []
    for label, cell in _code(nb):
        errors = [out for out in cell["outputs"] if out["output_type"] == "error"]
        if bool(errors) != (EXPECTS_ERROR in tags(cell)):
            found.append(f"{label}: an error and the tag {EXPECTS_ERROR!r} go together")
        if any(out.get("name") == "stderr" for out in cell["outputs"]):
            found.append(f"{label}: output on stderr")
    return found


@rule
def names_no_machine(nb: Notebook, name: str) -> list[str]:
    """Paths, process ids and addresses are those of one machine and one run."""
    texts = [(label, source(cell)) for label, cell in _cells(nb)]
    texts += [(label, text) for label, output in _outputs(nb) for text in _texts(output)]
    return [f"{label}: {found[0]!r}" for label, text in texts for found in MACHINE.finditer(text)]


@rule
def puts_words_beside_figures(nb: Notebook, name: str) -> list[str]:
    """A figure can be read: it has text beside it, or a caption in the cell after it."""
    found = []
    for (label, cell), (_, after) in itertools.pairwise([*_cells(nb), ("", {})]):
        outputs = cell.get("outputs", [])
        printed = any(out["output_type"] == "stream" for out in outputs)
        told = after.get("cell_type") == "markdown" and not source(after).startswith("#")
        if any(_has_image(out) for out in outputs) and not (printed or told):
            found.append(f"{label}: a figure without words in it or after it")
    return found


@rule
def describes_its_figures(nb: Notebook, name: str) -> list[str]:
    """A figure has an alternative text, which `tests.execute` takes from its caption."""
    return [
        f"{label}: a figure without alternative text: re-execute the notebook"
        for label, output in _outputs(nb)
        for mime in output.get("data", {})
        if mime.startswith("image/") and not output["metadata"].get(mime, {}).get("alt")
    ]


@rule
def says_which_answers_are_ours(nb: Notebook, name: str) -> list[str]:
    """The verdict on a solution is not the reader's: `check(..., solution=True)`."""
    return [
        f"{label}: `solution=True` belongs in the checks of solutions, and only there"
        for label, cell in _code(nb)
        for call in re.findall(
            r"\bcheck\(\s*\"\d\d-.*?(?:\)$|\Z)", source(cell), re.DOTALL | re.MULTILINE
        )
        if ("solution=True" in call) != (SOLUTION in tags(cell))
    ]


@rule
def describes_its_images(nb: Notebook, name: str) -> list[str]:
    """An image in the prose has an alternative text."""
    missing = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")[^>]*>")
    return [
        f"{label}: an image without alternative text"
        for label, cell in _cells(nb)
        if cell["cell_type"] == "markdown" and missing.search(source(cell))
    ]


@rule
def is_small(nb: Notebook, name: str) -> list[str]:
    """A notebook is read in a browser."""
    size = len(json.dumps(nb, ensure_ascii=False, indent=1).encode())
    return [] if size < MAX_BYTES else [f"{size:,} bytes, must be below {MAX_BYTES:,}"]


@rule
def opens_as_a_lesson(nb: Notebook, name: str) -> list[str]:
    """One title, then what you'll do, learn and need, and the time, all before the first code."""
    opening = itertools.takewhile(lambda cell: cell["cell_type"] != "code", nb["cells"])
    text = "\n\n".join(source(cell) for cell in opening)
    found = [] if text.startswith("# ") else ["the first line must be the title, '# ...'"]
    titles = [title for level, title in _headings(nb) if level == 1]
    if len(titles) > 1:
        found.append(f"more than one title: {titles}")
    plain = text.replace("’", "'").lower()
    return found + [f"{part!r} is missing before the first code" for part in _missing(plain)]


@rule
def closes_as_a_lesson(nb: Notebook, name: str) -> list[str]:
    """Key points, then further reading. The first notebook has the map of the course instead."""
    if name in EXAMS:
        return []
    sections = [title for level, title in _headings(nb) if level == 2]
    if name == START:
        good = any("map" in title.lower() for title in sections)
        return [] if good else ["no section with the map of the course"]
    return [] if sections[-2:] == CLOSING else [f"must end with the sections {CLOSING}"]


@rule
def nests_its_headings(nb: Notebook, name: str) -> list[str]:
    """No level is left out: screen readers and tables of contents go by it."""
    return [
        f"the heading {title!r} skips a level"
        for (above, _), (level, title) in itertools.pairwise(_headings(nb))
        if level > above + 1
    ]


@rule
def folds_its_solutions(nb: Notebook, name: str) -> list[str]:
    """A solution has its own heading, and is folded in JupyterLab, in Colab, and by tags."""
    found, heading = [], ""
    for label, cell in _cells(nb):
        if cell["cell_type"] == "markdown":
            heading = next(
                (title for _, title in reversed(notebook_minutes.headings(cell))), heading
            )
        elif SOLUTION in tags(cell):
            if not heading.lower().startswith("solution"):
                found.append(f"{label}: a solution needs a heading 'Solution ...' above it")
            if not _is_folded(cell):
                found.append(f"{label}: a solution must be folded, see CONTRIBUTING.md")
        elif heading.lower().startswith("solution"):
            found.append(f"{label}: code under {heading!r} needs the tag {SOLUTION!r}")
    return found


@rule
def says_what_is_folded(nb: Notebook, name: str) -> list[str]:
    """JupyterLab shows the first line of a folded cell, so that must not be part of the answer."""
    return [
        f"{label}: the first line of a solution must be a comment that says so"
        for label, cell in _code(nb)
        if SOLUTION in tags(cell) and not re.match(r"# .*\bsolution\b", source(cell), re.IGNORECASE)
    ]


@rule
def folds_only_exercises(nb: Notebook, name: str) -> list[str]:
    """Folding an exercise in the table of contents folds its solution and nothing else."""
    found, exercise = [], (9, "")
    for level, title in _headings(nb):
        if level <= exercise[0]:
            exercise = (level, title) if title.startswith("Exercise") else (9, "")
        elif not title.startswith("Solution") and exercise[1]:
            found.append(f"{title!r} hangs below {exercise[1]!r}: give it {'#' * exercise[0]}")
    return found


@rule
def leads_on(nb: Notebook, name: str) -> list[str]:
    """Links to the glossary at the start, to the next lesson at the end, and a break half-way."""
    if name in EXAMS:
        return []
    prose = [source(cell) for cell in nb["cells"] if cell["cell_type"] == "markdown"]
    found = [] if "](glossary.md" in prose[0] else ["the title links to no [glossary](glossary.md)"]
    if not re.search(r"^Next: \[.+\]\(\d\d_\w+\.ipynb[^)]*\)", prose[-1], re.MULTILINE):
        found.append("the end needs a line 'Next: [...](NN_....ipynb)'")
    if name not in WITHOUT_EXERCISES[1:] and sum("*Half-way: " in text for text in prose) != 1:
        found.append("needs one line '*Half-way: about ... minutes are left, ...*'")
    return found


@rule
def has_exercises(nb: Notebook, name: str) -> list[str]:
    """Three or more, each with a solution."""
    titles = [title.lower() for _, title in _headings(nb)]
    exercises, solutions = (
        sum(title.startswith(word) for title in titles) for word in ("exercise", "solution")
    )
    found = [] if exercises == solutions else [f"{exercises} exercises, {solutions} solutions"]
    if name not in WITHOUT_EXERCISES and exercises < EXERCISES:
        found.append(f"{exercises} exercises, must be at least {EXERCISES}")
    return found


@rule
def states_its_minutes(nb: Notebook, name: str) -> list[str]:
    """The title and the half-way line agree roughly with the rule of `notebook_minutes`."""
    if name in EXAMS:
        return []
    main, *optional = notebook_minutes.parts(nb["cells"])
    stated, another = notebook_minutes.stated(source(nb["cells"][0]))
    left = notebook_minutes.half_way(main if another else nb["cells"])
    more = sum(map(notebook_minutes.minutes, optional))
    taken = notebook_minutes.minutes(main)
    checked = [("it takes", stated, taken if another else taken + more)]
    checked += [("the optional parts take", another, more)] if another else []
    checked += [("half-way, what is left takes", *left)] if left else []
    return [
        f"{what} {computed:.0f} minutes, and {said} are stated"
        for what, said, computed in checked
        if abs(computed - said) > max(NEAR_ENOUGH * said, 2)
    ]


@rule
def keeps_its_reader_busy(nb: Notebook, name: str) -> list[str]:
    """Something to predict every few minutes, and something to write each quarter of an hour."""
    if name in TO_LOOK_UP:
        return []
    found = []
    for part in notebook_minutes.parts(nb["cells"]):
        for what, limit, ends in (
            ("do", WITHOUT_DOING, notebook_minutes.asks),
            ("write", WITHOUT_WRITING, notebook_minutes.asks_to_write),
        ):
            took, cell = notebook_minutes.longest(part, ends)
            if took > limit:
                found.append(f"{took:.1f} minutes without anything to {what}, up to {cell!r}")
    return found


@rule
def links_its_words(nb: Notebook, name: str) -> list[str]:
    """A word of the glossary is a link where the lesson uses it first."""
    if name in WITHOUT_EXERCISES[1:]:
        return []
    uses = {
        entry: notebook_words.first_use(nb["cells"], word)
        for entry, word in notebook_words.words().items()
    }
    return [
        f"{use.cell['id']!r} uses {entry!r} first, without a link to glossary.md"
        for entry, use in uses.items()
        if use and not use.linked
    ]


def broken(nb: Notebook, name: str) -> list[str]:
    """Return everything wrong with a notebook, rule by rule."""
    return [f"{rule.__name__}: {what}" for rule in RULES for what in rule(nb, name)]


def source(cell: dict[str, Any]) -> str:
    """Return the text of a cell, which JSON may hold as a list of lines."""
    return _joined(cell["source"])


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _cells(nb: Notebook) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, cell in enumerate(nb["cells"], start=1):
        yield f"cell {number} ({cell.get('id')})", cell


def _code(nb: Notebook) -> list[tuple[str, dict[str, Any]]]:
    return [(label, cell) for label, cell in _cells(nb) if cell["cell_type"] == "code"]


def _outputs(nb: Notebook) -> Iterator[tuple[str, dict[str, Any]]]:
    for label, cell in _code(nb):
        yield from ((label, output) for output in cell["outputs"])


def _texts(output: dict[str, Any]) -> Iterator[str]:
    data = output.get("data", {})
    texts = (_joined(data[mime]) for mime in data if mime.startswith("text/"))
    yield from (IMAGE.sub("", text) for text in texts)
    yield from (_joined(output[key]) for key in ("text", "evalue", "traceback") if key in output)


def _has_image(output: dict[str, Any]) -> bool:
    data = output.get("data", {})
    html = _joined(data.get("text/html", ""))
    return any(mime.startswith("image/") for mime in data) or bool(IMAGE.search(html))


def _headings(nb: Notebook) -> list[tuple[int, str]]:
    markdown = [cell for cell in nb["cells"] if cell["cell_type"] == "markdown"]
    return [heading for cell in markdown for heading in notebook_minutes.headings(cell)]


def _missing(opening: str) -> list[str]:
    return [part for part in OPENING if part.lower() not in opening]


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None


def _repeated(items: list[str]) -> set[str]:
    return {item for item in items if items.count(item) > 1}


def _is_folded(cell: dict[str, Any]) -> bool:
    metadata = cell["metadata"]
    lab = metadata.get("jupyter", {}).get("source_hidden") is True
    return lab and metadata.get("cellView") == "form" and HIDE_INPUT in tags(cell)
