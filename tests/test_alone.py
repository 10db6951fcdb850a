"""A lesson alone in an empty folder, as on Colab: its first cell installs the course."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("asyncml", "_asyncml", "__editable__")
LIMIT_BYTES = 10_000_000

pytestmark = pytest.mark.skipif(
    not (ROOT / "asyncml").exists() or sys.platform == "win32",
    reason="the package is not beside its tests, or links need a right of their own here",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Build the wheel in a folder that pip uses as an index."""
    folder = tmp_path_factory.mktemp("index")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Create an environment with everything but the course."""
    folder = tmp_path_factory.mktemp("elsewhere")
    others = folder / "others"
    others.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(OURS) and path.suffix != ".pth":
            (others / path.name).symlink_to(path)
    venv.create(folder / "venv", with_pip=False)
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (site / "others.pth").write_text(str(others), encoding="utf-8")
    return folder / "venv" / "bin" / "python"


def run_first_cell(python, folder, links):
    """Run the first cell of the first lesson in `folder`; return what it printed."""
    lesson = json.loads((ROOT / "notebooks/00_start_here.ipynb").read_text(encoding="utf-8"))
    cell = next(cell for cell in lesson["cells"] if cell["cell_type"] == "code")
    folder.mkdir()
    (folder / "cell.ipy").write_text("".join(cell["source"]), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(links),
        "PIP_NO_INDEX": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "NO_COLOR": "1",
    }
    command = [python, "-m", "IPython", "--colors=nocolor", "cell.ipy"]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_lesson_alone_installs_the_course_from_the_index(python, index, tmp_path):
    missing = run_first_cell(python, tmp_path / "nothing to install", tmp_path)
    assert missing.stdout.count("ModuleNotFoundError: No module named 'asyncml'") == 1
    assert "No matching distribution found for asyncml[course]" in missing.stderr
    done = run_first_cell(python, tmp_path / "alone", index)
    assert "with asyncml" in done.stdout, done
    assert done.stdout.count("ModuleNotFoundError") == 0
    code = "import asyncml.course.lab as lab; print(len(list(lab.lessons().glob('*.ipynb'))))"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    assert int(found.stdout) == len(list((ROOT / "notebooks").glob("*.ipynb")))


def test_the_wheel_is_small_enough_for_a_bad_network(index):
    (wheel,) = index.iterdir()
    assert wheel.stat().st_size <= LIMIT_BYTES
