"""Build the site: `python site/build.py`; the pages lie in `build/site/html` then.

It puts the lessons as committed, the glossary, the results and a page for each room of the module
into one folder, and runs Sphinx on that. Nothing is fetched, now or when a page is read.
"""

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from finish import BROWSER, finish

from asyncml.course.address import REPOSITORY, badges

ROOT = Path(__file__).resolve().parents[1]
HERE, BUILD = ROOT / "site", ROOT / "build" / "site"
ADDRESS = os.environ.get("ASYNCML_REPOSITORY", REPOSITORY)  # the variable is for the site's test
ROOMS = [
    *("clock", "timeline", "pipeline", "stores", "images", "network", "training"),
    *("serving", "distributed", "course"),
]
_CELL = re.compile(r"\[([^\]]*)\]\((?:(\w+)\.ipynb)?#cell-id=([\w-]+)\)")
_HEADING = re.compile(r"(\]\(\w+\.ipynb#)([^)=]+)\)")
_LESSON = re.compile(r"\[(\d\d [^\]]+)\]\(notebooks/(\w+)\.ipynb\)")
_FOLDED = {"hide-input": "hide-cell"}
_EXAMS = ["before", "after"]


def main() -> int:
    """Put the pages together, and let Sphinx make HTML of them; warnings are errors."""
    source, html = BUILD / "source", BUILD / "html"
    shutil.rmtree(BUILD, ignore_errors=True)
    (source / "notebooks").mkdir(parents=True)
    for name in ("conf.py", "index.md", "cheatsheet.md", "404.md"):
        shutil.copy(HERE / name, source)
    shutil.copytree(HERE / "_static", source / "_static")
    _copy_mathjax(source / "_static" / "mathjax")
    lessons = _copy_lessons(source / "notebooks")
    _copy_programs(source)
    _copy_results(source)
    _write_rooms(source / "api")
    guide = _copy_guide(source / "workshop")
    _write_contents(source / "index.md", lessons, guide)
    if BROWSER:
        with (source / "cheatsheet.md").open("a", encoding="utf-8") as sheet:
            sheet.write('\n<a class="to-pdf" href="cheatsheet.pdf">This page as a PDF</a>\n')
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto"]
    command += ["-d", str(BUILD / "doctrees"), "-b", "html", str(source), str(html)]
    made = subprocess.run(command, check=False).returncode
    if not made:
        name = urlsplit(ADDRESS).path.rpartition("/")[2]
        finish(html, f"/{name}/" if name else "/")
    return made


def _copy_mathjax(folder: Path) -> None:
    """Copy what formulas need, a quarter of it all: one of its bundles, and what that may load."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("MathJax is missing: see site/requirements.txt")
    mathjax = Path(package.origin).parent / "static" / "mathjax"
    for name in ("output/chtml", "input/tex", "a11y", "sre", "ui"):
        shutil.copytree(mathjax / name, folder / name)
    shutil.copy(mathjax / "tex-chtml.js", folder)


def _copy_lessons(folder: Path) -> list[str]:
    for name in ("pictures", "other_languages"):
        shutil.copytree(ROOT / "notebooks" / name, folder / name)
    shutil.copy(ROOT / "notebooks" / "glossary.md", folder)
    asked = set()
    notebooks = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                asked |= {(to or path.stem, cell_id) for _, to, cell_id in _CELL.findall(text)}
        notebooks[path.stem] = notebook
    for name, notebook in notebooks.items():
        made = [_for_the_site(name, cell) for cell in notebook["cells"]]
        notebook["cells"] = [
            cell
            for one in made
            for cell in ([_anchor(one["id"])] if (name, one["id"]) in asked else []) + [one]
        ]
        text = json.dumps(notebook, ensure_ascii=False)
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
    return [name for name in notebooks if name.removeprefix("exam_") not in _EXAMS]


def _copy_programs(source: Path) -> None:
    """Copy the files of code to which lessons link, so that they can be downloaded."""
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for link in re.findall(r"\]\(\.\./([\w/]+\.py)\)", path.read_text(encoding="utf-8")):
            (source / link).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / link, source / link)


def _for_the_site(name: str, cell: dict[str, Any]) -> dict[str, Any]:
    """Return the cell with links that lead to pages, and with its picture's text where it is read.

    What a solution puts out is folded with it: on a page its question stands right above.

    A cell is reached by an anchor, and a heading by its slug.
    """
    if cell["cell_type"] == "code":
        tags = [_FOLDED.get(tag, tag) for tag in cell["metadata"].get("tags", [])]
        told = [output.get("metadata", {}).get("image/png", {}) for output in cell["outputs"]]
        alt = next((one["alt"] for one in told if one.get("alt")), None)
        shown = {"mystnb": {"image": {"alt": alt}}} if alt else {}
        return {**cell, "metadata": {**cell["metadata"], **shown, "tags": tags}}
    text = "".join(cell["source"])
    text = _CELL.sub(lambda m: f'<a href="{m[2] or name}.html#cell-{m[3]}">{m[1]}</a>', text)
    return {**cell, "source": _HEADING.sub(lambda m: f"{m[1]}{m[2].lower()})", text)}


def _anchor(cell_id: str) -> dict[str, Any]:
    source = f'<a id="cell-{cell_id}"></a>'
    return {"cell_type": "markdown", "id": f"to-{cell_id}"[:64], "metadata": {}, "source": source}


def _copy_results(source: Path) -> None:
    for path in (ROOT / "benchmarks").glob("*.png"):
        shutil.copy(path, source)
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    (source / "results.md").write_text(text, encoding="utf-8")


def _write_rooms(folder: Path) -> None:
    folder.mkdir()
    lines = ["# The module, room by room", ""]
    for room in ROOMS:
        module = importlib.import_module(f"asyncml.{room}")
        first = (module.__doc__ or "").splitlines()[0]
        lines.append(f"- [`{room}`]({room}.md): {first}")
        body = [f"# {room}", "", "```{eval-rst}", f".. automodule:: asyncml.{room}", "```", ""]
        (folder / f"{room}.md").write_text("\n".join(body), encoding="utf-8")
    lines += ["", "All names in one list: {ref}`genindex`.", ""]
    lines += ["```{toctree}", ":hidden:", *ROOMS, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


def _copy_guide(folder: Path) -> list[str]:
    """Copy the workshop kit; return its pages in the order in which the first one names them."""
    folder.mkdir()
    for path in (ROOT / "workshop").iterdir():  # what its pages link to, too
        if path.is_file():
            shutil.copy(path, folder)
    named = ["README", *re.findall(r"\]\((\w+)\.md\)", (folder / "README.md").read_text("utf-8"))]
    pages = {page.stem: None for page in sorted(folder.glob("*.md"))}
    return list(dict.fromkeys(name for name in [*named, *pages] if name in pages))


def _write_contents(index: Path, lessons: list[str], guide: list[str]) -> None:
    """Add the README's table of the lessons to the first page, and what the sidebar shows."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if re.match(r"\| \[\d\d ", line)]
    titles = {name: title for title, name in _LESSON.findall("\n".join(rows))}
    before, after = (f"Twelve questions {when} <notebooks/exam_{when}>" for when in _EXAMS)
    listed = [f"{titles[name]} <notebooks/{name}>" for name in lessons]
    parts = {
        "Lessons": [before, *listed, after],
        "Beside the lessons": ["notebooks/glossary", "cheatsheet"],
        "Teach": [f"workshop/{name}" for name in guide],
        "The module": ["api/index", "results"],
    }
    text = _with_address(index.read_text(encoding="utf-8"))
    head = ["| lesson | minutes, with exercises | afterwards you can |", "|---|---|---|"]
    text += "\n".join(["## The lessons", "", *head, *rows, "", ""])
    for caption, pages in parts.items():
        text += "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```", ""])
    index.write_text(text, encoding="utf-8")


def _with_address(text: str) -> str:
    """Link the first page to the repository, and to where its first lesson runs without a copy."""
    if not ADDRESS:
        return text
    places = re.findall(r"\[!\[Open in (\w+)\]\([^)]*\)\]\(([^)]*)\)", badges(ADDRESS))
    links = " or ".join(f"[{name}]({link})" for name, link in places)
    row = f"| **try it** | {links} opens the first lesson in your browser, ready to run |\n"
    text = text.replace("| **learn** |", f"{row}| **learn** |")
    return text.replace("a copy of the repository", f"a copy of [the repository]({ADDRESS})")


if __name__ == "__main__":
    sys.exit(main())
