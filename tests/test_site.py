"""The site: it is built without a warning, asks nobody for anything, and no link is broken.

Skipped where `site/requirements.txt` is not installed, and in part where there is no browser.
"""

import html.parser
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

pytest.importorskip("myst_nb", reason="not installed: see site/requirements.txt")

from asyncml.course import address

REPOSITORY = address.REPOSITORY or "https://github.com/owner/name"
PLACE = REPOSITORY.removeprefix("https://github.com/")
ON_PAGES = f"https://pages.example/{PLACE.rpartition('/')[2]}/"
AT_THE_TOP = "https://course.example/"
ROOT = Path(__file__).parent.parent
HARD_TO_READ = Path(__file__).with_name("hard_to_read.js").read_text(encoding="utf-8")
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


@contextmanager
def reader(folder):
    """Give a page of a browser that finds the site at two addresses, and what it lacks."""
    from tests.timeline.browser import PATH, browser  # skips where playwright is missing

    if PATH is None:
        pytest.skip("there is no Chromium or Chrome here")
    lacking = []

    def answer(route):
        url = route.request.url
        site = next((site for site in (ON_PAGES, AT_THE_TOP) if url.startswith(site)), url)
        path = folder / unquote(urlsplit(url.removeprefix(site)).path)
        if site != url and path.is_file():
            route.fulfill(path=path)
        else:
            lacking.append(url)
            route.fulfill(status=404, path=folder / "404.html")

    with browser() as opened:
        page = opened.new_page()
        page.route("**/*", answer)
        yield page, lacking


def test_every_lesson_has_its_page(pages):
    folder, _ = pages
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert (folder / "notebooks" / f"{path.stem}.html").exists()


def test_launch_buttons_open_what_is_there(pages):
    folder, found = pages
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        links = " ".join(found[folder / "notebooks" / f"{path.stem}.html"].links)
        assert f"colab.research.google.com/github/{PLACE}/blob/main/notebooks/{path.name}" in links
        assert f"mybinder.org/v2/gh/{PLACE}/main?urlpath=lab/tree/notebooks/{path.name}" in links
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


def test_nothing_names_this_machine(pages):
    folder, _ = pages
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if str(ROOT).encode() in path.read_bytes()] == []


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


def test_solutions_are_folded_with_what_they_put_out(pages):
    folder, _ = pages
    for path in (folder / "notebooks").glob("[01]*.html"):
        text = re.sub(r"<details[\s\S]*?</details>", "", path.read_text(encoding="utf-8"))
        assert "The solution passes:" not in text, path.name


def test_a_lost_address_finds_its_page(pages):
    folder, _ = pages
    with reader(folder) as (page, lacking):
        for site in (ON_PAGES, AT_THE_TOP):
            lacking.clear()
            lost = f"{site}notebooks/old/lesson-7.ipynb"
            page.goto(lost)
            form = page.locator("form.bd-search").first
            assert form.evaluate("form => form.action") == f"{site}search.html"
            page.locator("#perhaps a").first.click()
            assert page.url == f"{site}notebooks/07_async_data_loading.html"
            # a browser that reads ahead looks for what the page loads where Pages would have it
            ahead = urljoin(AT_THE_TOP, urlsplit(ON_PAGES).path)
            assert [url for url in lacking if not url.startswith(ahead)] == [lost]


def test_a_lesson_can_be_read_in_the_light_and_in_the_dark(pages):
    folder, _ = pages
    with reader(folder) as (page, lacking):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{AT_THE_TOP}notebooks/01_from_await_to_callbacks.html")
            assert page.locator("html").get_attribute("data-theme") == scheme
            assert page.evaluate(HARD_TO_READ) == []
        assert lacking == []
