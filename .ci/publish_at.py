"""Write the repository's address into everything that names it: `python .ci/publish_at.py URL`.

That is the constant in `asyncml/course/address.py`, `[project.urls]` in `pyproject.toml`,
`CITATION.cff` and the badges of the README. It can be run again with another address.
"""

import re
import sys
from pathlib import Path

from asyncml.course.address import badges

MARKS = "<!-- badges: written by .ci/publish_at.py -->", "<!-- end of badges -->"


def publish_at(root: Path, repository: str) -> None:
    """Write the address into the files below `root`.

    Raises:
        ValueError: the address is not one of a repository on GitHub, or a file has no place for it;
            nothing is written.
    """
    made = badges(repository)
    urls = f'[project.urls]\nRepository = "{repository}"\nIssues = "{repository}/issues"\n\n'
    written = {}
    for name, old, new in [
        ("asyncml/course/address.py", r'^REPOSITORY = "[^"]*"', f'REPOSITORY = "{repository}"'),
        ("pyproject.toml", r"^(\[project\.urls\]\n(\w.*\n)*\n)?(?=\[project\.optional)", urls),
        (
            "CITATION.cff",
            r"^(repository-code: .*\n)?(?=license:)",
            f"repository-code: {repository}\n",
        ),
        ("README.md", rf"^{MARKS[0]}[\s\S]*?{MARKS[1]}", f"{MARKS[0]}\n{made}\n{MARKS[1]}"),
    ]:
        text = (root / name).read_text(encoding="utf-8")
        found = re.search(old, text, re.MULTILINE)
        if not found:
            raise ValueError(f"{name} has no place for the address: nothing matches {old}")
        written[root / name] = text[: found.start()] + new + text[found.end() :]
    for path, text in written.items():
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python .ci/publish_at.py https://github.com/owner/name")
    publish_at(Path(__file__).resolve().parents[1], sys.argv[1].rstrip("/"))
