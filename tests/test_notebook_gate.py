"""The gate for notebooks: it must notice every way in which a notebook can be wrong."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests import module, notebook_gate, notebook_kernel
from tests.execute import execute
from tests.notebook_compare import (
    EXPECTS_ERROR,
    NOT_COMPARED,
    differences,
    problems,
    with_one_number_changed,
)
from tests.notebook_kernel import Kernel, KernelLost, Run

ROOT = Path(__file__).parent.parent
GROUP = "raise ExceptionGroup('two went wrong', [ValueError(1), KeyError(2)])"
DISPLAY = "from IPython.display import display, HTML, clear_output\n"
IMAGE = DISPLAY + "display({'image/png': 'aGk='}, raw=True)"
FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
SLEEP = "import time\ntime.sleep(3600)"
LIMIT_S = (
    3  # for a cell that takes a moment, on a busy machine, and a wait in which nothing happens
)


def cell(source="", *outputs, tags=(), count=1):
    metadata = {"tags": list(tags)}
    return new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=count)


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def shown(kind="display_data", **data):
    return new_output(kind, {mime.replace("_", "/"): value for mime, value in data.items()})


def write(path, *cells):
    for number, code in enumerate(cells, start=1):
        code.execution_count = code.execution_count and number
    nbformat.write(new_notebook(cells=list(cells)), path)


# The comparison, without a kernel


@pytest.mark.parametrize(
    "output",
    [
        printed("fine\na thread: 1.0 s ✘ expected 50 µs, or 5.0 µs to 500 µs\n"),
        shown("execute_result", text_plain="a thread: 1.0 s ✘ expected 50 µs"),
    ],
)
def test_a_figure_out_of_its_bounds_is_seen_even_where_text_is_not_compared(output):
    committed = cell("x", output, tags=[NOT_COMPARED])
    (found,) = problems(committed, Run(outputs=[output]))
    assert found.startswith("a figure is out of its bounds: a thread: 1.0 s")


@pytest.mark.parametrize(
    ("committed", "now"),
    [
        ([printed("1\n")], []),
        ([], [printed("1\n")]),
        ([printed("1\n")], [printed("2\n")]),
        ([printed("1\n")], [printed("1")]),
        ([printed("1 %\r2 %\n")], [printed("3 %\r2 %\n")]),
        ([printed("1\n")], [shown(text_plain="1\n")]),
        ([shown(text_plain="1")], [shown("execute_result", text_plain="1")]),
        ([printed("a\n"), shown(text_plain="1")], [shown(text_plain="1"), printed("a\n")]),
        ([shown(text_plain="x", text_html="<b>1")], [shown(text_plain="x", text_html="<b>2")]),
        ([shown(text_plain="x", text_html="<b>1")], [shown(text_plain="x")]),
        ([shown(image_png="aGk=")], []),
        ([shown(image_png="aGk=")], [shown(image_png="")]),
        ([shown(image_png="aGk=")], [shown(image_png="aGk="), shown(image_png="aGk=")]),
        (
            [new_output("error", ename="E", evalue="1")],
            [new_output("error", ename="E", evalue="2")],
        ),
        (
            [new_output("error", ename="E", evalue="1")],
            [new_output("error", ename="F", evalue="1")],
        ),
    ],
)
def test_a_difference_is_seen(committed, now):
    assert differences(cell("x", *committed), now)
    assert differences(cell("x", *now), committed)


def test_pieces_of_text_are_joined_and_image_bytes_are_not_compared():
    committed = cell("x", printed("1\n2\n"), shown(image_png="aGk=", text_plain="<Figure>"))
    now = [printed("1\n"), printed("2\n"), shown(image_png="eW8=", text_plain="<Figure>")]
    assert differences(committed, now) == []


def test_an_image_within_html_is_an_image():
    def html(picture, rest):
        return shown(text_html=f'<img src="data:image/png;base64,{picture}" alt="x">{rest}')

    committed = cell("x", html("aGk1", "<b>1"))
    assert differences(committed, [html("eW8=", "<b>1")]) == []
    assert differences(committed, [html("aGk1", "<b>2")])
    assert differences(committed, [shown(text_html='<img src="" alt="x"><b>1')])
    assert [change for change, _ in with_one_number_changed(committed)] == [
        "data/text/html: 1 -> 2"
    ]


def test_a_cell_that_is_not_compared_still_keeps_the_kinds_of_its_outputs():
    committed = cell("x", printed("12 ms\n"), tags=[NOT_COMPARED])
    assert differences(committed, [printed("15 ms\n")]) == []
    assert differences(committed, [])
    assert differences(committed, [printed("15 ms\n"), shown(text_plain="1")])


@pytest.mark.parametrize("marker", ["NBVAL_IGNORE_OUTPUT", "NBVAL_SKIP", "PYTEST_VALIDATE_IGNORE"])
def test_a_marker_in_a_comment_does_not_hide_anything(marker):
    assert differences(cell(f"# {marker}\nx", printed("1\n")), [printed("1\n")])
    assert differences(cell(f"# {marker}\nx", printed("1\n")), [printed("2\n")])


def test_a_cell_without_execution_count_is_never_right():
    assert "re-execute" in differences(cell("x", count=None), [])[0]


# Cells in a kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Return a kernel for a user who has her own settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "agg")
        patch.setenv("PYTHONASYNCIODEBUG", "1")
        kernel = Kernel(tmp_path_factory.mktemp("a folder"))
    yield kernel
    kernel.stop()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("1 /", "SyntaxError"),
        (GROUP, "ExceptionGroup: two went wrong (2 sub-exceptions)"),
        ("%%nosuch\n1", "UsageError: Cell magic `%%nosuch` not found."),
        ("%nosuch", "UsageError: Line magic function `%nosuch` not found."),
        (
            "import asyncio\nasync with asyncio.TaskGroup() as g:\n    g.create_task(f())",
            "NameError",
        ),
        ("await asyncio.sleep('1')", "TypeError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("input()", "StdinNotImplementedError"),
        ("print?", "what a notebook does not keep: page"),
        ("get_ipython().set_next_input('x')", "what a notebook does not keep: set_next_input"),
        ("import warnings\nwarnings.warn('old')", "stderr"),
        ("import logging\nlogging.error('lost')", "stderr"),
        (
            "loop = asyncio.get_running_loop()\nloop.create_future().set_exception(OSError())",
            "never",
        ),
    ],
)
def test_a_cell_that_goes_wrong_is_seen(kernel, source, words):
    run = kernel.run(source)
    stderr = [out for out in run.outputs if out.get("name") == "stderr"]
    found = problems(cell(source, *map(nbformat.from_dict, stderr)), run)
    assert words in "\n".join(found)
    assert problems(cell(source, *stderr, tags=[NOT_COMPARED]), run)


def test_an_expected_exception_that_does_not_come_is_seen(kernel):
    run = kernel.run("1")
    result = [new_output("execute_result", {"text/plain": "1"})]
    assert "no exception came" in problems(cell("1", *result, tags=[EXPECTS_ERROR]), run)[0]


@pytest.mark.parametrize("source", ["1 / 0", GROUP, "%nosuch"])
def test_an_expected_exception_is_compared_by_its_type_and_message(kernel, source):
    run = kernel.run(source)
    expected = cell(source, *map(nbformat.from_dict, run.outputs), tags=[EXPECTS_ERROR])
    assert [out["output_type"] for out in run.outputs] == ["error"]
    assert problems(expected, run) == []
    expected.outputs[0].evalue += "!"
    assert "differs in evalue" in problems(expected, run)[0]


def test_a_warning_before_an_expected_group_is_not_taken_for_its_traceback(kernel):
    run = kernel.run(f"import sys\nprint('careful', file=sys.stderr)\n{GROUP}")
    assert "careful" in "".join(problems(cell("x", *run.outputs, tags=[EXPECTS_ERROR]), run))


@pytest.mark.parametrize("text", ["careful\nUsageError: no %x\n", "UsageError: no %x\n"])
def test_an_error_that_comes_in_pieces_is_one(text):
    for cut in range(len(text) + 1):
        run = Run([printed(piece, "stderr") for piece in (text[:cut], text[cut:])], "error")
        notebook_kernel._add_missing_error(run, {"ename": "UsageError", "evalue": "no %x"})
        *before, error = run.outputs
        assert "".join(out["text"] for out in before) == text[: text.index("UsageError")]
        assert error["traceback"] == ["UsageError: no %x\n"]


def test_output_after_the_end_of_its_cell_is_seen(kernel):
    before = len(kernel._sent)
    kernel.run(
        "async def late():\n"
        "    await asyncio.sleep(0.01)\n"
        "    print('a late word')\n"
        "task = asyncio.create_task(late())"
    )
    run = kernel.run("await task\nawait asyncio.sleep(0.3)")
    assert f"output of cell {before + 1} came after its end" in "".join(problems(cell(), run))
    assert "a late word" in "".join(run.late)


def test_displays_are_cleared_and_updated_as_in_a_notebook(kernel):
    run = kernel.run(
        DISPLAY + "print(1)\nclear_output()\nh = display(2, display_id=True)\nh.update(3)"
    )
    assert problems(cell("x", shown(text_plain="3")), run) == []
    assert kernel.run("h.update(4)").late == ["a display of an earlier cell was updated"]
    run = kernel.run("print(1)\nclear_output(wait=True)\nprint(2)\nclear_output(wait=True)")
    assert problems(cell("x", printed("2\n")), run) == []


def test_a_figure_is_there_and_drawn_by_the_backend_of_notebooks(kernel):
    run = kernel.run(FIGURE, timeout=60)
    assert list(run.outputs[0]["data"]) == ["text/plain", "image/png"]
    assert problems(cell(FIGURE), run)


def test_what_a_child_process_prints_is_seen(kernel):
    run = kernel.run("import os, subprocess, time\nsubprocess.run(['echo', 'child'])")
    later = kernel.run("time.sleep(0.5)")  # a thread of the kernel reads such output
    assert "child" in str([run, later])


def test_any_changed_number_is_seen(kernel):
    source = DISPLAY + "print('n=1, t=0.25 s')\ndisplay(HTML('<b>300</b>'))\n{1: [20, -3e5]}"
    run = kernel.run(source)
    committed = cell(source, *map(nbformat.from_dict, run.outputs))
    changed = list(with_one_number_changed(committed))
    assert problems(committed, run) == []
    assert len(changed) == 8
    assert [name for name, wrong in changed if not problems(wrong, run)] == []


def test_what_is_left_at_the_end_is_seen(kernel):
    assert kernel.unfinished() == []
    kernel.run(
        "async def fail():\n    raise OSError('nobody asked')\n"
        "kept = asyncio.create_task(fail(), name='kept')\n"
        "left = asyncio.create_task(asyncio.sleep(3600), name='left')\n"
        "promised = loop.create_future()\n"
        "promised.set_exception(OSError('promised'))"
    )
    found = "\n".join(kernel.unfinished())
    assert "task 'left' (sleep) is still running" in found
    assert "the exception of task 'kept' (fail) was never retrieved: OSError('nobody as" in found
    assert "the exception of a future was never retrieved: OSError('promised')" in found
    assert "3600" not in found
    kernel.run("left.cancel()\nkept.exception(), promised.exception()")
    assert kernel.unfinished() == []


def test_an_exception_lost_with_its_task_is_seen(kernel):
    first = kernel.run("forgotten = [asyncio.create_task(fail())]")
    second = kernel.run("forgotten.clear()")
    found = [*problems(cell(), first), *problems(cell(), second), *kernel.unfinished()]
    assert "Task exception was never retrieved" in "\n".join(found)


def test_the_inspection_leaves_no_trace(kernel):
    run = kernel.run("[n for n in dir() if n in ('remember', 'report', 'KERNEL', 'gc', 'json')]")
    assert run.outputs[0]["data"] == {"text/plain": "[]"}


def test_the_kernel_ignores_the_settings_of_who_runs_the_tests(kernel):
    run = kernel.run("import asyncio, os\nprint(os.getcwd())\nprint(os.environ['MPLBACKEND'])")
    folder, backend = run.outputs[0]["text"].splitlines()
    assert Path(folder).name.startswith("a folder")
    assert "inline" in backend
    assert run.count == len(kernel._sent)  # the inspections are not counted
    assert "False" in str(kernel.run("asyncio.get_running_loop().get_debug()").outputs)


def test_a_cell_that_ignores_its_time_limit_and_the_interrupt_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook_kernel, "INTERRUPT_S", 0.5)
    kernel = Kernel(tmp_path)
    stubborn = (
        "while True:\n    try:\n        print(1, flush=True)\n    except KeyboardInterrupt:\n"
    )
    try:
        with pytest.raises(KernelLost, match=r"cell 1 ran into its time limit of 0\.5 s"):
            kernel.run(stubborn + "        pass", timeout=0.5)
        with pytest.raises(KernelLost, match="not run, because cell 1 ran into"):
            kernel.run("1")
        with pytest.raises(KernelLost, match="not run, because cell 1 ran into"):
            kernel.unfinished()
    finally:
        kernel.stop()


# Whole notebooks under pytest


def run_pytest(folder, *arguments, nbval="nbval.plugin"):
    """Run pytest with this project's settings on another folder; return the failures by name."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-c", str(ROOT / "pyproject.toml")]
    command += [f"--rootdir={folder}", "-p", "tests.notebook_gate", "-p", nbval]
    command += [f"--junitxml={report}", f"--nbval-cell-timeout={LIMIT_S}"]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failure = case.find("failure")
        name = f"{Path(case.get('file', case.get('classname'))).stem} {case.get('name')}"
        results[name] = "" if failure is None else failure.text
        assert case.find("error") is None, done.stdout
    return results


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Return an executed notebook in which nothing is wrong."""
    path = tmp_path_factory.mktemp("my notebooks") / "right.ipynb"
    write(
        path,
        cell("print(1)\nprint(2)"),
        cell("import json\njson.loads('x')", tags=[EXPECTS_ERROR]),
        cell(GROUP, tags=[EXPECTS_ERROR]),
        cell(f"# measured\n{IMAGE}", tags=[NOT_COMPARED]),
        cell("Out[1] if 1 in Out else 2"),
    )
    assert execute(path) == []
    return path


@pytest.fixture(scope="module")
def results(executed):
    """Return a run of pytest over notebooks: right, wrong and untidy, deadly, and slow."""
    folder = executed.parent
    wrong = [
        cell("print(1)", printed("2\n")),
        cell(GROUP),
        cell("%%nosuch"),
        cell("1;", tags=[EXPECTS_ERROR]),
        cell("print(1)", count=None),
        cell("pass", printed("1\n"), tags=["nbval-skip"]),
        cell(IMAGE),
        cell("print(1)", printed("1\n")),
        cell("import asyncio\ntask = asyncio.create_task(asyncio.sleep(3600), name='left')"),
    ]
    write(folder / "wrong.ipynb", *wrong)
    write(folder / "deadly.ipynb", cell("import os\nos._exit(3)"), cell("1;"))
    slow = folder / "slow.ipynb"
    write(slow, cell("x = 1"), cell("print(x)", printed("1\n")), cell(SLEEP))
    some = [f"{slow}::Cell 2", f"{slow}::Cell 3"]
    return run_pytest(folder, *some, *(folder / f"{n}.ipynb" for n in ("right", "wrong", "deadly")))


def test_a_notebook_that_is_right_passes_as_it_was_executed(results):
    assert {n: text for n, text in results.items() if n.startswith("right") and text} == {}
    assert len([name for name in results if name.startswith("right")]) == 6


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, ["output 1 differs in text", "-2", "+1"]),
        (2, ["ExceptionGroup: two went wrong"]),
        (3, ["UsageError: Cell magic `%%nosuch` not found."]),
        (4, ["no exception came"]),
        (5, ["without an execution count"]),
        (6, ["other outputs than committed"]),
        (7, ["other outputs than committed", "an image"]),
    ],
)
def test_a_wrong_cell_fails_by_itself(results, number, words):
    failure = results[f"wrong Cell {number}"]
    assert [word for word in words if word not in failure] == []
    assert results["wrong Cell 8"] == ""


def test_a_task_left_running_fails_the_end_of_the_notebook_and_only_that(results):
    assert results["wrong Cell 9"] == ""
    (found,) = results["wrong End"].splitlines()
    assert found.startswith("after the last cell: task 'left' (sleep) is still running")


def test_a_kernel_that_dies_fails_its_cell_and_all_after_it(results):
    assert "the kernel died in cell 1" in results["deadly Cell 1"]
    assert "not run, because the kernel died in cell 1" in results["deadly Cell 2"]
    assert "not run, because the kernel died in cell 1" in results["deadly End"]


def test_the_time_limit_holds_and_a_cell_asked_for_alone_runs_after_those_before_it(results):
    assert [name for name in results if name.startswith("slow")] == ["slow Cell 2", "slow Cell 3"]
    assert results["slow Cell 2"] == ""
    assert f"cell 3 ran into its time limit of {LIMIT_S} s" in results["slow Cell 3"]
    assert "KeyboardInterrupt" in results["slow Cell 3"]


def test_without_nbval_the_same_tests_run(tmp_path):
    write(tmp_path / "n.ipynb", cell("print(1)", printed("2\n")), cell("2;"), cell(SLEEP))
    found = run_pytest(tmp_path, tmp_path, nbval="no:nbval.plugin")
    assert list(found) == ["n Cell 1", "n Cell 2", "n Cell 3", "n End"]
    assert "output 1 differs in text" in found["n Cell 1"]
    assert found["n Cell 2"] == ""
    assert f"cell 3 ran into its time limit of {LIMIT_S} s" in found["n Cell 3"]


def test_nbval_without_the_gate_runs_a_lesson_too():
    command = [*module("pytest"), "-c", os.devnull, "-n", "0", "--noconftest"]
    command += [f"--rootdir={ROOT}", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    command += ["--nbval", "--nbval-current-env"]
    lesson = ROOT / "notebooks" / "02_your_notebook_is_an_event_loop.ipynb"  # without a player
    env = {n: value for n, value in os.environ.items() if n not in notebook_kernel.UNSET}
    done = subprocess.run([*command, lesson], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("option", ["nbval_lax", "nbval_sanitize_with", "sanitize_with"])
def test_options_that_hide_differences_are_refused(option):
    given = SimpleNamespace(getoption=lambda name, default: name == option)
    with pytest.raises(pytest.UsageError, match=option.replace("_", "-")):
        notebook_gate.pytest_configure(given)


# Re-executing


def test_a_notebook_in_which_something_goes_wrong_is_left_as_it_was(tmp_path):
    path = tmp_path / "n.ipynb"
    write(path, cell("print(1)", count=None), cell("1 / 0", count=None))
    before = path.read_bytes()
    (found,) = execute(path)
    assert "cell 2" in found
    assert "ZeroDivisionError" in found
    assert path.read_bytes() == before


def test_an_executed_notebook_names_no_machine_and_executes_to_the_same_bytes(executed):
    first = executed.read_text()
    notebook = nbformat.read(executed, as_version=4)
    assert [c.execution_count for c in notebook.cells] == [1, 2, 3, 4, 5]
    assert notebook.cells[0].outputs == [printed("1\n2\n")]
    assert "python3." not in first
    assert "ipykernel_" not in first
    assert execute(executed) == []
    assert executed.read_text() == first


def test_a_run_without_anything_has_nothing_to_complain_of():
    assert problems(cell(), Run()) == []
