"""What is wrong with a cell, given its committed outputs and this run. Pure functions."""

import difflib
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from asyncml.course.measuring import MISSED
from tests.notebook_kernel import Output, Run

EXPECTS_ERROR = "raises-exception"
NOT_COMPARED = "nbval-ignore-output"
NBVAL_MARKER = re.compile(r"^\s*#+\s*(NBVAL_\w+|PYTEST_VALIDATE_\w+)\s*$", re.MULTILINE)
NUMBER = re.compile(r"\d+")
IMAGE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/]+=*")  # within HTML
MOST_CHANGES = 40  # in one field: a player's data are thousands of numbers

Cell = dict[str, Any]
_Canonical = tuple[str, dict[str, str]]


def problems(cell: Cell, run: Run) -> list[str]:
    """Return everything wrong with a cell: for each, a sentence and the evidence."""
    found = faults(cell, run)
    if run.status != "ok" and EXPECTS_ERROR not in tags(cell):
        return found
    return [*found, *differences(cell, run.outputs)]


def faults(cell: Cell, run: Run) -> list[str]:
    """Return what is wrong with the run of a cell, whatever outputs are committed."""
    found = []
    expected = EXPECTS_ERROR in tags(cell)
    if run.status == "ok" and expected:
        found.append(f"the cell is tagged {EXPECTS_ERROR!r}, and no exception came")
    elif run.status != "ok" and not expected:
        found.append(f"the cell ended with status {run.status!r}\n{_traceback(run)}")
    stderr = "".join(out["text"] for out in run.outputs if out.get("name") == "stderr")
    if stderr:
        found.append(f"the cell wrote to stderr:\n{stderr}")
    found += [f"a figure is out of its bounds: {line}" for line in _missed(run.outputs)]
    if run.payloads:
        found.append(f"the cell did what a notebook does not keep: {', '.join(run.payloads)}")
    return [*found, *run.late]


def differences(cell: Cell, fresh: list[Output]) -> list[str]:
    """Return how the committed outputs differ from this run's, field by field.

    A cell tagged as not compared must still have the same kinds of output in the same order.
    """
    found = []
    if marker := NBVAL_MARKER.search(_text(cell["source"])):
        found.append(f"the comment {marker[1]!r} hides outputs: use the tag {NOT_COMPARED!r}")
    if cell["execution_count"] is None:
        return [*found, "the cell is committed without an execution count: re-execute the notebook"]
    committed, now = canonical(cell["outputs"]), canonical(fresh)
    if _kinds(committed) != _kinds(now):
        return [*found, "other outputs than committed:\n" + _diff(_show(committed), _show(now))]
    if NOT_COMPARED in tags(cell):
        return found
    for number, ((_, old), (_, new)) in enumerate(zip(committed, now, strict=True), start=1):
        for name in (name for name in old if old[name] != new[name]):
            found.append(f"output {number} differs in {name}:\n{_diff(old[name], new[name])}")
    return found


def canonical(outputs: list[Output]) -> list[_Canonical]:
    """Return outputs as (kind, compared fields), in order; text printed in pieces is joined.

    An image must only be there, within HTML too: its bytes depend on the fonts and on Matplotlib's
    version. A traceback is not compared, since it quotes the standard library; its exception is.
    """
    found: list[_Canonical] = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            kind = output["name"]
            if found and found[-1][0] == kind:
                found[-1][1]["text"] += _text(output["text"])
                continue
            fields = {"text": _text(output["text"])}
        elif kind == "error":
            fields = {"ename": output["ename"], "evalue": output["evalue"]}
        else:
            fields = {mime: _field(mime, value) for mime, value in sorted(output["data"].items())}
        found.append((kind, fields))
    return found


def with_one_number_changed(cell: Cell) -> Iterator[tuple[str, Cell]]:
    """Yield copies of a cell, each with one number in its compared outputs off by one digit."""
    for place, output in enumerate(cell["outputs"]):
        for path in _text_fields(output):
            text = _text(_at(output, path))
            images = [range(*image.span()) for image in IMAGE.finditer(text)]
            numbers = [it for it in NUMBER.finditer(text) if not _is_in(it.start(), images)]
            for number in numbers[:: 1 + len(numbers) // MOST_CHANGES]:
                wrong = number[0][:-1] + str((int(number[0][-1]) + 1) % 10)
                copy = deepcopy(cell)
                holder = _at(copy["outputs"][place], path[:-1])
                holder[path[-1]] = text[: number.start()] + wrong + text[number.end() :]
                yield f"{'/'.join(path)}: {number[0]} -> {wrong}", copy


def _is_in(place: int, spans: list[range]) -> bool:
    return any(place in span for span in spans)


def tags(cell: Cell) -> list[str]:
    """Return the tags of a cell."""
    return list(cell["metadata"].get("tags", []))


def _text_fields(output: Output) -> list[tuple[str, ...]]:
    if output["output_type"] == "stream":
        return [("text",)]
    if output["output_type"] == "error":
        return [("ename",), ("evalue",)]
    return [("data", mime) for mime in output["data"] if mime.startswith("text/")]


def _at(output: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        output = output[key]
    return output


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _field(mime: str, value: Any) -> str:
    if mime.startswith("image/"):
        return "an image" if value else "an empty image"
    if mime == "text/html":
        return IMAGE.sub("an image", _text(value))
    if isinstance(value, list) and mime.startswith("text/"):
        return _text(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _missed(outputs: list[Output]) -> list[str]:
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
    return [line for text in texts for line in _text(text).splitlines() if MISSED in line]


def _kinds(outputs: list[_Canonical]) -> list[tuple[str, list[str]]]:
    return [(kind, list(fields)) for kind, fields in outputs]


def _show(outputs: list[_Canonical]) -> str:
    return "\n".join(
        f"{kind} {name}: {fields[name]}" for kind, fields in outputs for name in fields
    )


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "committed", "this run", lineterm=""
    )
    return "\n".join(lines) or f"committed: {old!r}\nthis run:  {new!r}"


def _traceback(run: Run) -> str:
    errors = [out for out in run.outputs if out["output_type"] == "error"]
    return "\n".join("\n".join([f"{e['ename']}: {e['evalue']}", *e["traceback"]]) for e in errors)
