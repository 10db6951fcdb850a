"""The site: it is built without a warning, asks nobody for anything, and no link is broken.

Skipped where `site/requirements.txt` is not installed.
"""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("myst_nb", reason="not installed: see site/requirements.txt")

REPOSITORY = "https://github.com/owner/name"
ROOT = Path(__file__).parent.parent
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(html.parser.HTMLParser):
    """What a page loads, where its links lead, which ids it has, and images without words."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.links, self.ids, self.silent = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if found.get(LOADS.get(tag, "")) and found.get("rel") != "canonical":
            self.loaded.append(found[LOADS[tag]])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "img" and not (found.get("alt") or "").strip():
            self.silent.append(found.get("src", "")[:60])


@pytest.fixture(scope="module")
def pages():
    built = subprocess.run(
        [sys.executable, "site/build.py"],
        cwd=ROOT,
        env=os.environ | {"ASYNCML_REPOSITORY": REPOSITORY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    folder = ROOT / "build" / "site" / "html"
    return folder, {
        path: Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts
    }


def test_every_lesson_has_its_page(pages):
    folder, _ = pages
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert (folder / "notebooks" / f"{path.stem}.html").exists()


def test_launch_buttons_open_what_is_there(pages):
    folder, found = pages
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        links = " ".join(found[folder / "notebooks" / f"{path.stem}.html"].links)
        assert (
            f"colab.research.google.com/github/owner/name/blob/main/notebooks/{path.name}" in links
        )
        assert f"mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/notebooks/{path.name}" in links
        assert f"_sources/notebooks/{path.name}" in links


def test_the_rooms_of_the_module_are_read_as_they_are_meant(pages):
    folder, _ = pages
    for path in (folder / "api").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "_SupportsArray" not in text, path.name  # ArrayLike, as NumPy spells it out
        article = text[text.index("<article") : text.index("</article")]
        assert "<blockquote" not in article, path.name  # a map of files, run together


def test_the_cheat_sheet_is_one_page_and_names_no_machine(pages):
    folder, _ = pages
    sheet = folder / "cheatsheet.pdf"
    if not sheet.exists():
        pytest.skip("no browser here that could print it")
    data = sheet.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", data)) == 1
    assert b"file:" not in data


def test_nothing_is_loaded_from_elsewhere(pages):
    _, found = pages
    foreign = {link for page in found.values() for link in page.loaded if urlsplit(link).netloc}
    assert foreign == set()


def test_what_is_loaded_is_there(pages):
    _, found = pages
    for path, page in found.items():
        for link in page.loaded:
            if not link.startswith("data:"):
                assert (path.parent / unquote(urlsplit(link).path)).exists(), (path.name, link)


def test_no_link_is_broken(pages):
    _, found = pages
    broken = []
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            ids = found[target].ids if target in found else None
            if not target.exists() or (
                ids and parts.fragment and unquote(parts.fragment) not in ids
            ):
                broken.append((path.name, link))
    assert broken == []


def test_every_image_has_words(pages):
    _, found = pages
    assert {path.name: page.silent for path, page in found.items() if page.silent} == {}
