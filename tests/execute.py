"""Re-execute notebooks in place: `python -m tests.execute [NOTEBOOK ...]`, all of them by default.

Cells run in the gate's kernel, so the gate sees the same outputs. A notebook in which anything goes
wrong is left as it was. Metadata that differs between machines is dropped.
"""

import itertools
import re
import sys
from pathlib import Path

import nbformat

from tests.notebook_compare import faults
from tests.notebook_kernel import Kernel, KernelLost, Output

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
MACHINE_PATH = re.compile(r"[^\s\"'(]*[/\\](site-packages|lib[/\\]python\d\.\d+)[/\\]")
CAPTION = re.MULTILINE | re.DOTALL
MOST_ALT = 250  # longer texts are tiring to listen to
CELL_FILE = re.compile(r"[^\s\"'(]*[/\\]ipykernel_\d+[/\\]\d+\.py")


def execute(path: Path) -> list[str]:
    """Run every cell; write the notebook if nothing went wrong.

    Returns:
        What went wrong; empty if nothing did.
    """
    notebook = nbformat.read(path, as_version=4)
    kernel = Kernel(path.resolve().parent)
    try:
        for number, cell in enumerate(_code(notebook), start=1):
            run = kernel.run(cell.source)
            if found := faults(cell, run):
                return [f"cell {number} ({cell.id}): {what}" for what in found]
            cell.execution_count = number
            cell.outputs = [nbformat.from_dict(_as_stored(out)) for out in merged(run.outputs)]
        describe_figures(notebook.cells)
        if found := kernel.unfinished():
            return [f"after the last cell: {what}" for what in found]
    except KernelLost as error:
        return [str(error)]
    finally:
        kernel.stop()
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    notebook.nbformat_minor = 5
    nbformat.write(notebook, path)
    return []


def merged(outputs: list[Output]) -> list[Output]:
    """Return outputs with text that was printed in pieces joined, as Jupyter shows it."""
    found: list[Output] = []
    for output in outputs:
        if found and output["output_type"] == "stream" and found[-1].get("name") == output["name"]:
            found[-1] = found[-1] | {"text": found[-1]["text"] + output["text"]}
        else:
            found.append(output)
    return found


def describe_figures(cells: list[nbformat.NotebookNode]) -> None:
    """Give each figure its caption, or else the text printed beside it, as alternative text.

    nbconvert reads it from the output's metadata.
    """
    for cell, after in itertools.pairwise([*cells, None]):
        for output in cell.get("outputs", []):
            for mime in output.get("data", {}):
                if mime.startswith("image/"):
                    output.metadata.setdefault(mime, {})["alt"] = _told_of(cell, after)


def _told_of(cell: nbformat.NotebookNode, after: nbformat.NotebookNode | None) -> str:
    if after is not None and (caption := re.search(r"^\*(?!\*)(.+?)\*$", after.source, CAPTION)):
        text = caption[1]
    else:
        text = "".join(out.text for out in cell.outputs if out.output_type == "stream")
    text = " ".join(re.sub(r"[`*]|\[(.+?)\]\(.+?\)", r"\1", text).split())
    return text if len(text) <= MOST_ALT else text[:MOST_ALT].rpartition(" ")[0] + " ..."


def _code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _as_stored(output: Output) -> Output:
    """Cut machine paths out of tracebacks, which are not compared."""
    lines = [
        CELL_FILE.sub("<cell>", MACHINE_PATH.sub("", line)) for line in output.get("traceback", [])
    ]
    return output | {"traceback": lines} if "traceback" in output else output


def main(arguments: list[str]) -> int:
    """Execute the notebooks named, or all; return how many failed."""
    failed = 0
    for path in [Path(name) for name in arguments] or sorted(NOTEBOOKS.glob("*.ipynb")):
        found = execute(path)
        failed += bool(found)
        print(f"{path.name}: {'; '.join(found) or 'executed'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
