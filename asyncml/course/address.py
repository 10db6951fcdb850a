"""Where the course is published: one constant, and the badges made from it.

`python .ci/publish_at.py https://github.com/owner/name` sets it, and everything that depends on it.
"""

REPOSITORY = ""  # such as "https://github.com/owner/name"; empty: not published yet


def badges(repository: str, notebook: str = "00_start_here") -> str:
    """Return Markdown with one badge each for Colab, Binder and Codespaces.

    Args:
        repository: its address on GitHub.
        notebook: the lesson that they open, without suffix; Codespaces opens all of them.

    Raises:
        ValueError: the address is not that of a repository on GitHub.

    >>> print(badges("https://github.com/owner/name").splitlines()[1])
    [![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/owner/name/main?labpath=my-course%2F00_start_here.ipynb)
    """
    start = "https://github.com/"
    path = repository.removeprefix(start).rstrip("/")
    if not repository.startswith(start) or path.count("/") != 1:
        raise ValueError(f"must be like 'https://github.com/owner/name', got {repository!r}")
    colab, binder = "https://colab.research.google.com", "https://mybinder.org"
    codespaces = "https://codespaces.new"
    lines = [
        (
            "Colab",
            f"{colab}/assets/colab-badge.svg",
            f"{colab}/github/{path}/blob/main/notebooks/{notebook}.ipynb",
        ),
        (
            "Binder",
            f"{binder}/badge_logo.svg",
            f"{binder}/v2/gh/{path}/main?labpath=my-course%2F{notebook}.ipynb",
        ),
        ("Codespaces", "https://github.com/codespaces/badge.svg", f"{codespaces}/{path}"),
    ]
    return "\n".join(f"[![Open in {name}]({image})]({link})" for name, image, link in lines)
