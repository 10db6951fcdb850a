"""All wheels of the course on a stick, for a room without network: `python -m asyncml wheelhouse`.

pip downloads what each Python on each system needs, but it decides which packages are needed for
the Python that runs it. The other packages are found in the metadata of the wheels, and downloaded
as well.
"""

import argparse
import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

EXTRA = "course"
SYSTEMS: dict[str, tuple[list[str], dict[str, str]]] = {  # tags of wheels, and markers
    "windows": (
        ["win_amd64"],
        {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    ),
    "macos": (
        ["macosx_11_0_arm64"],
        {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    ),
    "macos-intel": (
        ["macosx_11_0_x86_64"],
        {"sys_platform": "darwin", "platform_system": "Darwin"},
    ),
    "linux": (
        ["manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1))],
        {},
    ),
}
_LINUX = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}
_README = """\
# asyncml, to be installed without network

For Python {pythons} on {systems}.

Copy this folder to your disk, and open a terminal in the copy. No Python, or another one? Install
one of these first: from beside this file, if your teacher has put it there, or from python.org.

Linux and macOS, one line:

    python3 -m venv .venv && .venv/bin/python -m pip install --no-index --find-links . "{name}"

Windows, one line after the other, with the number of your Python:

    py -{last} -m venv .venv
    .venv\\Scripts\\python -m pip install --no-index --find-links . "{name}"

Then `.venv/bin/python -m asyncml`, on Windows `.venv\\Scripts\\python -m asyncml`, says whether all
is well. The same with `lab` at its end opens the lessons, and with `lab --route half-day` those of
half a day. To start afresh, delete `.venv`.
"""


def main(arguments: Sequence[str]) -> int:
    """Run `python -m asyncml wheelhouse`."""
    parser = argparse.ArgumentParser(
        prog="python -m asyncml wheelhouse",
        description="Put all wheels of the course into a folder, to be installed without network.",
    )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("folder", type=Path, help="on a stick, for instance")
    parser.add_argument("--python", nargs="+", default=[here], help="such as 3.11 3.12")
    parser.add_argument("--platform", nargs="+", default=[_this_system()], choices=SYSTEMS)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(given.folder, project_wheel(given.folder), given.python, given.platform)
    except subprocess.CalledProcessError as error:
        print(f"pip could not do it: its last words are above. It was asked for {error.cmd[-1]}.")
        return 1
    wheels = list(given.folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(
        f"{len(wheels)} wheels, {size:.0f} MB. How to install from them: {given.folder}/README.md"
    )
    return 0


def fetch(folder: Path, wheel: Path, pythons: Sequence[str], systems: Sequence[str]) -> None:
    """Download what a project's wheel needs, with its extra `course`; write how to install it.

    Args:
        folder: holds the wheel; all others are put there.
        wheel: of the project.
        pythons: versions, such as `["3.11", "3.12"]`.
        systems: names in `SYSTEMS`.

    Raises:
        subprocess.CalledProcessError: pip failed; it has printed why.
    """
    name = f"{wheel.name.split('-')[0]}[{EXTRA}]"
    for system, python in product(systems, pythons):
        print(f"for Python {python} on {system}", flush=True)
        tags, markers = SYSTEMS[system]
        target = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:"]
        target += [word for tag in tags for word in ("--platform", tag)]
        environment = {**_LINUX, **markers, "python_version": python}
        wanted = [f"{wheel}[{EXTRA}]"]
        while wanted:
            _pip("download", "--dest", str(folder), *target, *wanted)
            missing = sorted(set(_missing(folder, name, environment)))
            if missing == wanted:  # downloaded, and still missing: a version that does not fit
                break
            wanted = missing
    words = {"pythons": ", ".join(pythons), "systems": ", ".join(systems), "last": pythons[-1]}
    readme = _README.format(name=name, **words)
    (folder / "README.md").write_text(readme, encoding="utf-8")


def _missing(folder: Path, root: str, environment: dict[str, str]) -> Iterator[str]:
    """Yield each requirement, direct or not, that no wheel in the folder meets."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wheels: dict[str, list[tuple[str, list[str]]]] = {}
    for path in folder.glob("*.whl"):
        found = _metadata(path)
        requires = found.get_all("Requires-Dist") or []
        wheels.setdefault(canonicalize_name(found["Name"]), []).append((found["Version"], requires))
    seen, todo = set[str](), [Requirement(root)]
    while todo:
        wanted = todo.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        fits = [
            requires
            for version, requires in wheels.get(canonicalize_name(wanted.name), [])
            if wanted.specifier.contains(version, prereleases=True)
        ]
        if not fits:
            yield f"{wanted.name}{wanted.specifier}"
        for line in (line for requires in fits for line in requires):
            one = Requirement(line)
            marker, one.marker = one.marker, None
            micros = [f"{environment['python_version']}.{micro}" for micro in (0, 99)]
            if marker is None or any(
                marker.evaluate({**environment, "python_full_version": full, "extra": extra})
                for full, extra in product(micros, ["", *wanted.extras])
            ):
                todo.append(one)


def _metadata(wheel: Path) -> Any:
    with ZipFile(wheel) as archive:
        inside = re.compile(r"[^/]+\.dist-info/METADATA")  # not the metadata of a vendored package
        name = next(filter(inside.fullmatch, archive.namelist()))
        return HeaderParser().parsestr(archive.read(name).decode("utf-8"))


def project_wheel(folder: Path) -> Path:
    """Put a wheel of this project into a folder: built from the checkout, or as installed."""
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").exists():
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(root))
        return max(folder.glob("asyncml-*.whl"), key=lambda path: path.stat().st_mtime)
    return packed(distribution("asyncml"), folder)


def packed(found: Distribution, folder: Path) -> Path:
    """Pack an installed pure distribution into a wheel again."""
    home = f"{found.metadata['Name'].replace('-', '_')}-{found.version}"
    wheel, record = folder / f"{home}-py3-none-any.whl", f"{home}.dist-info/RECORD"
    rows = []
    with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
        for file in found.files or ():
            name, own = file.as_posix(), {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
            if name.startswith("..") or file.suffix == ".pyc" or file.name in own:
                continue
            data = file.read_binary()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            archive.writestr(name, data)
            rows.append(f"{name},sha256={digest},{len(data)}\n")
        archive.writestr(record, "".join([*rows, f"{record},,\n"]))
    return wheel


def _this_system() -> str:
    return {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")


def _pip(*words: str) -> None:
    command: Iterable[str] = (sys.executable, "-m", "pip", words[0], "--quiet", *words[1:])
    subprocess.run([*command, "--disable-pip-version-check"], check=True)
