"""A pytest plugin: nbval's collection of notebooks, with a run and a comparison that miss nothing.

Each code cell is a test, and so is the notebook's end, where nothing may be left running. Cells run
in order in one kernel: asked for cell 5 alone, the gate runs cells 1 to 4 before it.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from tests.notebook_compare import problems
from tests.notebook_kernel import Kernel, KernelLost, Run


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the options by which outputs would go uncompared."""
    for option in ("nbval_lax", "nbval_sanitize_with", "sanitize_with"):
        if config.getoption(option, None):
            flag = "--" + option.replace("_", "-")
            raise pytest.UsageError(f"{flag} hides differences in outputs: run without it")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterator[Any]:
    """Put our collector in the place of nbval's."""
    collectors = yield
    return [
        Notebook.from_parent(parent, path=file_path) if isinstance(found, IPyNbFile) else found
        for found in collectors
    ]


class Notebook(IPyNbFile):
    """A notebook and the kernel that runs it."""

    kernel: Kernel

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each code cell, numbered as executed, and one for the end."""
        notebook = nbformat.read(self.path, as_version=4)
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.runs: list[Run] = []
        for number, cell in enumerate(self.cells, start=1):
            yield Cell.from_parent(
                self, name=f"Cell {number}", cell_num=number, cell=cell, options={}
            )
        yield End.from_parent(self, name="End")

    def setup(self) -> None:
        """Start the kernel, in the notebook's folder."""
        _build_font_cache()
        timeout = self.config.option.nbval_kernel_startup_timeout
        self.runs.clear()
        self.kernel = Kernel(self.path.parent, startup_timeout=timeout)

    def teardown(self) -> None:
        """Stop the kernel."""
        if hasattr(self, "kernel"):
            self.kernel.stop()

    def run_up_to(self, number: int) -> list[Run]:
        """The runs of cells 1 to `number`; each cell runs once."""
        timeout = self.config.option.nbval_cell_timeout
        for cell in self.cells[len(self.runs) : number]:
            self.runs.append(self.kernel.run(cell.source, timeout=timeout))
        return self.runs[:number]


class Cell(IPyNbCell):
    """One code cell; its failure shows each thing that is wrong with it."""

    def setup(self) -> None:
        """Nothing: nbval would excuse the cells that follow one that was too slow."""

    def runtest(self) -> None:
        """Run the cell and compare it with what is committed."""
        try:
            found = problems(self.cell, self.parent.run_up_to(self.cell_num)[-1])
        except KernelLost as error:
            found = [str(error)]
        if found:
            raise Wrong("\n\n".join(found))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong and with which cell; the plugin's own traceback helps nobody."""
        if isinstance(excinfo.value, Wrong):
            where = f"cell {self.cell_num} ({self.cell.get('id')})"
            return f"{where}: {excinfo.value}\n\nThe cell:\n{self.cell.source}"
        return pytest.Item.repr_failure(self, excinfo, style)

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
        """What is left."""
        if isinstance(excinfo.value, Wrong):
            return f"after the last cell: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says that this is."""
        return self.path, 0, f"{self.path.stem}::{self.name}"


class Wrong(Exception):
    """All that is wrong with a cell, or with the end of a notebook."""


def _build_font_cache() -> None:
    """Spare the first kernel on a fresh machine Matplotlib's words about it, which go to stderr."""
    with suppress(ImportError):
        import matplotlib.font_manager  # noqa: F401
