"""What is done to the pages once Sphinx has made them: `finish(folder, root)`.

What no page loads is left out, the page for lost addresses is made to work at any depth, and the
cheat sheet is printed.
"""

import re
import shutil
import subprocess
from pathlib import Path

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _BROWSERS)), None)  # one prints the cheat sheet
_HREF = re.compile(r'(<a class="reference[^>]*) href="[^"]*"')
_ICONS = re.compile(r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>')
# Where the site's root is: below the repository's name on GitHub Pages, and else at the top.
_BASE = """<base href="{root}">
<script>
const base = document.querySelector("base");
if (!location.pathname.startsWith(base.getAttribute("href"))) base.href = "/";
</script>
"""


def finish(folder: Path, root: str) -> None:
    """Do all of it to the site in `folder`, whose address is expected to have the path `root`."""
    _leave_out_what_no_page_loads(folder)
    _work_at_any_depth(folder / "404.html", root)
    if BROWSER:
        _print(BROWSER, folder / "cheatsheet.html")


def _leave_out_what_no_page_loads(folder: Path) -> None:
    """Drop the maps of minified sources, and 1.5 MB of pictures of icons.

    The theme has its icons twice: as a font, which stays, and as a script for a site's own icons.
    """
    for path in (folder / "_static").rglob("*.map"):
        path.unlink()
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(_ICONS.sub("", text), encoding="utf-8")
    (folder / "_static" / "scripts" / "fontawesome.js").unlink()


def _work_at_any_depth(page: Path, root: str) -> None:
    """Let the links of a page start at the site's root, whatever the address it is sent for.

    Links within the page would lead to the first page then; it has none that anybody needs.
    """
    text = re.sub(r' href="#[^"]*"', "", page.read_text(encoding="utf-8"))
    page.write_text(text.replace("<head>", f"<head>\n{_BASE.format(root=root)}", 1), "utf-8")


def _print(browser: str, page: Path) -> None:
    """Print a page beside it as a PDF, whose links would lead to this machine: without them."""
    bare = page.with_stem(f"{page.stem}-bare")
    bare.write_text(_HREF.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    to_file = f"--print-to-pdf={page.with_suffix('.pdf')}"
    printing = [browser, *options, "--no-pdf-header-footer", to_file, bare.as_uri()]
    subprocess.run(printing, check=True, capture_output=True)
    bare.unlink()
