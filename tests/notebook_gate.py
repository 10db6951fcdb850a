"""A pytest plugin: it collects notebooks like nbval, but misses nothing when it compares.

Each code cell is a test, and so is the notebook's end, where nothing may be left running. Cells run
in order in one kernel: to run cell 5 alone, the gate runs cells 1 to 4 first.

It uses only the documented parts of nbval, the options and the tags. With a pytest that nbval does
not support, `pytest -p no:nbval.plugin` runs the same tests, with the gate's own options.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

# nbformat checks notebooks with jsonschema, which uses this module if it is installed; that spends
# 1.5 s of each process on a grammar of web addresses, and the notebook format has none
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import nbformat  # noqa: E402
import pytest  # noqa: E402

from tests.notebook_compare import problems  # noqa: E402
from tests.notebook_kernel import Kernel, KernelLost, Run  # noqa: E402


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add nbval's options if nbval is switched off."""
    if pluginmanager.is_blocked("nbval.plugin"):
        group = parser.getgroup("nbval", "notebooks, without nbval")
        group.addoption("--nbval", action="store_true", help="run notebooks, compare all output")
        group.addoption("--nbval-current-env", action="store_true", help="always so")
        for name, seconds in (("cell", 2000.0), ("kernel-startup", 60.0)):
            words = f"seconds, by default {seconds:g}"
            group.addoption(f"--nbval-{name}-timeout", type=float, default=seconds, help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that would leave outputs uncompared."""
    for option in ("nbval_lax", "nbval_sanitize_with", "sanitize_with"):
        if config.getoption(option, None):
            flag = "--" + option.replace("_", "-")
            raise pytest.UsageError(f"{flag} hides differences in outputs: run without it")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterator[Any]:
    """Replace nbval's collector with ours."""
    collectors = yield
    if file_path.suffix != ".ipynb" or not parent.config.getoption("nbval"):
        return collectors
    return [Notebook.from_parent(parent, path=file_path)]


class Notebook(pytest.File):
    """A notebook and the kernel that runs it."""

    kernel: Kernel

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each code cell, numbered as executed, and one for the end."""
        notebook = nbformat.read(self.path, as_version=4)
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.runs: list[Run] = []
        for number, cell in enumerate(self.cells, start=1):
            yield Cell.from_parent(self, name=f"Cell {number}", number=number, cell=cell)
        yield End.from_parent(self, name="End")

    def setup(self) -> None:
        """Start the kernel, in the notebook's folder."""
        _build_font_cache()
        timeout = self.config.getoption("nbval_kernel_startup_timeout")
        self.runs.clear()
        self.kernel = Kernel(self.path.parent, startup_timeout=timeout)

    def teardown(self) -> None:
        """Stop the kernel."""
        if hasattr(self, "kernel"):
            self.kernel.stop()

    def run_up_to(self, number: int) -> list[Run]:
        """Return the runs of cells 1 to `number`; each cell runs once."""
        timeout = self.config.getoption("nbval_cell_timeout")
        for cell in self.cells[len(self.runs) : number]:
            self.runs.append(self.kernel.run(cell.source, timeout=timeout))
        return self.runs[:number]


class Cell(pytest.Item):
    """A code cell; its failure lists everything wrong with it."""

    parent: Notebook

    def __init__(self, number: int, cell: nbformat.NotebookNode, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number, self.cell = number, cell

    def runtest(self) -> None:
        """Run the cell; compare its outputs with the committed ones."""
        try:
            found = problems(self.cell, self.parent.run_up_to(self.number)[-1])
        except KernelLost as error:
            found = [str(error)]
        if found:
            raise Wrong("\n\n".join(found))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what is wrong with which cell, without the plugin's own traceback."""
        if isinstance(excinfo.value, Wrong):
            where = f"cell {self.number} ({self.cell.get('id')})"
            return f"{where}: {excinfo.value}\n\nThe cell:\n{self.cell.source}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says that this is."""
        return self.path, 0, f"{self.path.stem}::{self.name}"


class End(pytest.Item):
    """The notebook's end."""

    parent: Notebook

    def runtest(self) -> None:
        """Fail if a task still runs, an exception was never retrieved, or output came late."""
        try:
            self.parent.run_up_to(len(self.parent.cells))
            found = self.parent.kernel.unfinished()
        except KernelLost as error:
            found = [str(error)]
        if found:
            raise Wrong("\n\n".join(found))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what is left."""
        if isinstance(excinfo.value, Wrong):
            return f"after the last cell: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says that this is."""
        return self.path, 0, f"{self.path.stem}::{self.name}"


class Wrong(Exception):
    """Everything wrong with a cell, or with the end of a notebook."""


def _build_font_cache() -> None:
    """Build Matplotlib's font cache, which on a fresh machine writes to the kernel's stderr."""
    with suppress(ImportError):
        import matplotlib.font_manager  # noqa: F401
