"""The player where it is mostly met: in JupyterLab, trusted and not, and in nbconvert's HTML."""

import os
import socket
import subprocess
import time
import urllib.request
from importlib.util import find_spec
from urllib.error import URLError

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from asyncml.clock import simulate
from asyncml.timeline.recorder import record
from tests import module
from tests.timeline.browser import browser, needs_browser
from tests.timeline.programs import kitchen

pytestmark = needs_browser
if not find_spec("jupyterlab"):
    pytest.skip("JupyterLab is not installed", allow_module_level=True)
PATIENCE_S = 60  # on a busy machine; otherwise all of it takes some ten
COUNT_FRAMES = """() => {
  const ask = requestAnimationFrame;
  window.asked = 0;
  window.requestAnimationFrame = (act) => {
    asked += String(act).includes("drawBars");
    return ask(act);
  };
}"""


@pytest.fixture(scope="module")
def notebook():
    data = simulate(record(kitchen())).play()._repr_mimebundle_()
    cells = [
        nbformat.v4.new_code_cell(
            "timeline.play()",
            outputs=[nbformat.v4.new_output("display_data", data)],
            execution_count=1,
        )
        for _ in range(2)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def lab(notebook, tmp_path_factory):
    """Start JupyterLab in a folder with a notebook that is trusted and one that is not."""
    folder, data = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("jupyter")
    nbformat.write(notebook, folder / "unknown.ipynb")
    notebook.cells[0].source += "  # mine"  # a notebook is trusted by what is in it
    nbformat.write(notebook, folder / "trusted.ipynb")
    NotebookNotary(data_dir=str(data)).sign(nbformat.read(folder / "trusted.ipynb", 4))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    mine = {f"JUPYTER_{name}": str(data) for name in names}
    mine |= {f"JUPYTERLAB_{name}_DIR": str(data / name) for name in ("SETTINGS", "WORKSPACES")}
    command = [*module("jupyterlab"), "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password="]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.news_url="]
    server = subprocess.Popen(
        command, env=os.environ | mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield _until_it_answers(f"http://127.0.0.1:{port}", server)
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def _until_it_answers(address, server):
    for _ in range(PATIENCE_S * 10):
        assert server.poll() is None, "JupyterLab has ended"
        try:
            urllib.request.urlopen(f"{address}/api", timeout=1).close()
            return address
        except (URLError, TimeoutError):
            time.sleep(0.1)
    pytest.fail("JupyterLab did not start")


@pytest.fixture(scope="module")
def chromium(notebook):
    """A browser for both tests; it comes after what is recorded, for its driver keeps a loop."""
    with browser() as found:
        yield found


def test_in_jupyterlab(lab, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(f"{lab}/lab/tree/unknown.ipynb?reset")
    picture = page.locator(".asyncml-player img").first
    picture.wait_for(state="visible")
    assert page.locator(".w").count() == 0
    page.locator(".asyncml-player summary").first.click()
    assert page.locator(".asyncml-player pre").first.is_visible()

    page.goto(f"{lab}/lab/tree/trusted.ipynb?reset")
    for number in range(2):
        page.locator(".w").nth(number).wait_for(state="visible")
    assert picture.is_hidden()
    _its_keys_are_its_own(page)
    _it_follows_the_theme(page)
    _it_ends_with_its_output(page)
    page.close()


def _its_keys_are_its_own(page):
    first = page.locator(".w").first
    page.locator(".jp-Notebook").focus()
    first.locator(".find").click()
    page.keyboard.type("aabdd")  # in command mode: cells above and below, and away with one
    first.locator(".thumb").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    assert first.locator(".find").input_value() == "aabdd"
    assert page.locator(".jp-Cell").count() == 2
    assert first.locator(".thumb").get_attribute("aria-valuenow") in {"1", "2"}


def _it_follows_the_theme(page):
    box = page.locator(".w").first
    before = box.evaluate("(box) => getComputedStyle(box).backgroundColor")
    assert before == "rgb(255, 255, 255)"
    page.evaluate("document.documentElement.style.setProperty('--jp-layout-color0', '#111111')")
    assert box.evaluate("(box) => getComputedStyle(box).backgroundColor") == "rgb(17, 17, 17)"


def _it_ends_with_its_output(page):
    page.locator(".w").first.get_by_title("Play").click()
    page.evaluate(COUNT_FRAMES)
    page.wait_for_timeout(100)
    assert page.evaluate("asked") > 0
    page.locator(".jp-Notebook").focus()
    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.locator("#jp-mainmenu-edit").get_by_text("Clear Outputs of All Cells").click()
    page.locator(".w").first.wait_for(state="detached")
    page.wait_for_timeout(100)
    asked = page.evaluate("asked")
    page.wait_for_timeout(200)
    assert page.evaluate("asked") == asked


def test_in_the_html_of_nbconvert(notebook, chromium, tmp_path):
    exporters = pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    text, _ = exporters.HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "lesson.html").write_text(text, encoding="utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "lesson.html").as_uri())
    page.locator(".w").nth(1).wait_for(state="visible")
    page.locator(".w").first.get_by_title("Next event").click()
    page.locator(".say").first.filter(has_text="are ready").wait_for()
    assert "are ready" not in page.locator(".say").last.inner_text()
