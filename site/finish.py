"""The last steps after Sphinx has built the pages: `finish(folder, root)`.

They remove files that no page loads, make the page for lost addresses work at any depth, and print
the cheat sheet.
"""

import re
import shutil
import subprocess
from pathlib import Path

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _BROWSERS)), None)  # prints the cheat sheet
_HREF = re.compile(r'(<a class="reference[^>]*) href="[^"]*"')
_ICONS = re.compile(r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>')
# The site's root: below the repository's name on GitHub Pages, at the top elsewhere.
_BASE = """<base href="{root}">
<script>
const base = document.querySelector("base");
if (!location.pathname.startsWith(base.getAttribute("href"))) base.href = "/";
</script>
"""


def finish(folder: Path, root: str) -> None:
    """Finish the site in `folder`, which is to be served under the path `root`."""
    _leave_out_what_no_page_loads(folder)
    _work_at_any_depth(folder / "404.html", root)
    if BROWSER:
        _print(BROWSER, folder / "cheatsheet.html")


def _leave_out_what_no_page_loads(folder: Path) -> None:
    """Remove source maps of minified files, and 1.5 MB of icons.

    The theme has its icons twice: as a font, which stays, and as a script for a site's own icons.
    """
    for path in (folder / "_static").rglob("*.map"):
        path.unlink()
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(_ICONS.sub("", text), encoding="utf-8")
    (folder / "_static" / "scripts" / "fontawesome.js").unlink()


def _work_at_any_depth(page: Path, root: str) -> None:
    """Make a page's links relative to the site's root, whatever address the page is served for.

    Links within the page would then lead to the first page, so they are removed; none is needed.
    """
    text = re.sub(r' href="#[^"]*"', "", page.read_text(encoding="utf-8"))
    page.write_text(text.replace("<head>", f"<head>\n{_BASE.format(root=root)}", 1), "utf-8")


def _print(browser: str, page: Path) -> None:
    """Print a page to a PDF beside it, without links, which would lead to this machine."""
    bare = page.with_stem(f"{page.stem}-bare")
    bare.write_text(_HREF.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    to_file = f"--print-to-pdf={page.with_suffix('.pdf')}"
    printing = [browser, *options, "--no-pdf-header-footer", to_file, bare.as_uri()]
    subprocess.run(printing, check=True, capture_output=True)
    bare.unlink()
