"""The pages of the kit, to mail and to print: `python workshop/pages.py FOLDER`.

Each becomes a single, self-contained HTML file. The handout and the page of a system fit on a sheet
of A4; the helpers' sheet has two columns.
"""

import argparse
import re
from pathlib import Path

from nbconvert.filters.markdown import markdown2html

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}
table {{ border-collapse: collapse; margin: .6em 0; display: block; overflow-x: auto; }}
th, td {{ border: 1px solid #999; padding: .2em .5em; text-align: left; vertical-align: top; }}
code {{ background: #eee; padding: 0 .2em; overflow-wrap: anywhere; }}
pre {{ background: #eee; padding: .5em; overflow-x: auto; }} pre code {{ padding: 0; }}
.anchor-link {{ display: none; }}
@page {{ size: A4; margin: 12mm; }}
@media print {{
  body {{ font-size: {points}pt; line-height: 1.3; padding: 0; max-width: none; }}
  body {{ columns: {columns}; }} h2 {{ break-after: avoid; }}
  table {{ display: table; }} pre {{ white-space: pre-wrap; }}
  tr, li, pre {{ break-inside: avoid; }}
}}
</style></head><body>
{body}
</body></html>
"""
_POINTS = {"handout": 8.5, "helpers": 8}
_NOT_HERE = re.compile(r"\[([^\]]+)\]\((?:\.\./[^)]+|[\w.]+\.toml)\)")  # comes with the course
_OTHER_PAGE = re.compile(r"(\]\([\w-]+)\.md\b")


def page(path: Path) -> str:
    """Return a page of the kit as HTML."""
    text = path.read_text(encoding="utf-8")
    text = _OTHER_PAGE.sub(r"\1.html", _NOT_HERE.sub(r"\1", text))
    return _PAGE.format(
        title=text.partition("\n")[0].lstrip("# "),
        points=_POINTS.get(path.stem, 10),
        columns=2 if path.stem == "helpers" else 1,
        body=markdown2html(text),
    )


def main() -> None:
    """Write all pages into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(__file__).parent.glob("*.md")):
        (folder / f"{path.stem}.html").write_text(page(path), encoding="utf-8")
    print(f"Open {folder / 'README.html'}, and print from there.")


if __name__ == "__main__":
    main()
