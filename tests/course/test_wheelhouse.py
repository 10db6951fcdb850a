"""A USB stick with all wheels; the tests' index is a folder of tiny wheels."""

import os
import subprocess
import sys
from importlib.metadata import Distribution
from zipfile import ZipFile

import pytest

from asyncml.course import wheelhouse


def tiny(folder, name, *requires, version="1.0", tag="py3-none-any"):
    """Make a wheel of a module with one line; return its path."""
    path = folder / f"{name}-{version}-{tag}.whl"
    home = f"{name}-{version}.dist-info"
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{home}/METADATA": "\n".join(["Metadata-Version: 2.1", *lines, "Provides-Extra: course"]),
        f"{home}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{name}/vendored-2.dist-info/METADATA": "Name: vendored\nVersion: 2\n",
    }
    with ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
        rows = "".join(f"{inside},,\n" for inside in [*files, f"{home}/RECORD"])
        archive.writestr(f"{home}/RECORD", rows)
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Return a folder, the only index that pip can reach."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_a_stick_for_another_system_holds_what_that_system_needs_and_installs_offline(
    index, tmp_path
):
    tiny(index, "anywhere", "deep; sys_platform == 'win32'", tag="cp312-abi3-win_amd64")
    tiny(index, "deep", "deepest>=2; python_full_version < '3.12.1'")
    tiny(index, "deepest", version="1.0")
    tiny(index, "deepest", version="2.0")
    tiny(index, "never")
    stick = tmp_path / "stick"
    stick.mkdir()
    needs = ["anywhere; extra == 'course'", "never; sys_platform == 'plan9'"]
    wheel = tiny(stick, "taught", *needs)
    wheelhouse.fetch(stick, wheel, ["3.12"], ["windows"])
    found = sorted(path.name.split("-py3")[0] for path in stick.glob("*.whl"))
    assert found == [
        "anywhere-1.0-cp312-abi3-win_amd64.whl",
        "deep-1.0",
        "deepest-2.0",
        "taught-1.0",
    ]
    readme = (stick / "README.md").read_text(encoding="utf-8")
    assert '--no-index --find-links . "taught[course]"' in readme
    for path in index.iterdir():  # from here on the index is gone
        path.unlink()
    at = tmp_path / "installed"
    offline = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(stick)]
    subprocess.run([*offline, "--quiet", "--target", str(at), "deep"], check=True)
    assert (at / "deep.py").exists()


def test_what_cannot_be_had_ends_with_the_words_of_pip(index, tmp_path, monkeypatch, capfd):
    wheel = tiny(index, "taught", "nowhere; extra == 'course'")
    monkeypatch.setattr(wheelhouse, "project_wheel", lambda folder: wheel)
    assert wheelhouse.main([str(tmp_path / "stick")]) == 1
    out, error = capfd.readouterr()
    assert "nowhere" in error
    assert "pip could not do it" in out


def test_an_installed_project_becomes_a_wheel_again(tmp_path):
    with ZipFile(tiny(tmp_path, "taught")) as archive:
        archive.extractall(tmp_path / "site")
    record = tmp_path / "site" / "taught-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text() + "../bin/taught,,\nx.pyc,,\n")
    found = Distribution.at(record.parent)
    made = wheelhouse.packed(found, tmp_path / "site")
    with ZipFile(made) as archive:
        assert archive.read("taught.py") == b"version = '1.0'\n"
        assert archive.namelist()[-1] == "taught-1.0.dist-info/RECORD"
        assert "taught.py,sha256=" in archive.read(archive.namelist()[-1]).decode()
        assert len(archive.namelist()) == 5


def test_a_system_that_is_not_known_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        wheelhouse.main([str(tmp_path), "--platform", "amiga"])
    assert "windows" in capsys.readouterr().err
