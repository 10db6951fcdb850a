"""A Jupyter kernel that hides nothing: a cell's outputs, how it ended, and what it left behind.

nbval itself drops the reply, and reads only messages for the running cell. But an ExceptionGroup or
a bad magic is reported only in the reply, and output of a background task after the end of its cell
belongs to no running cell, so nbval misses both.
"""

import ast
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from tests import ONE_BLAS_THREAD

Output = dict[str, Any]

# These would change what a learner sees: figures not drawn, lost output of child processes
# (ipykernel leaves file descriptors alone under pytest), slow-callback warnings.
UNSET = ("PYTEST_CURRENT_TEST", "MPLBACKEND", "PYTHONASYNCIODEBUG", "PYTHONWARNINGS")
POLL_S = 0.5
INTERRUPT_S = 5.0
REPLY_S = 30.0

INSPECTION = Path(__file__).with_name("notebook_inspection.py").read_text(encoding="utf-8")


class KernelLost(Exception):
    """The kernel died or had to be stopped, so no further cell can run."""


@dataclass
class Run:
    """The outcome of a cell: its outputs, and what no notebook stores."""

    outputs: list[Output] = field(default_factory=list)
    status: str = "ok"
    count: int | None = None
    payloads: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    expressions: dict[str, Any] = field(default_factory=dict)


class _ThisPython(KernelSpecManager):
    """The kernel that runs in this Python, whatever kernels are installed on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class Kernel:
    """The kernel of this Python, started as a learner's would be, without the learner's profile.

    Args:
        folder: its working directory.
        startup_timeout: seconds within which it must answer.
    """

    def __init__(self, folder: Path, *, startup_timeout: float = 60.0) -> None:
        self.lost: str | None = None
        self._sent: list[str] = []
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `stop`)
        env = {name: value for name, value in os.environ.items() if name not in UNSET}
        self.km = KernelManager(kernel_spec_manager=_ThisPython())
        self.km.start_kernel(
            cwd=str(folder),
            env=ONE_BLAS_THREAD | env | {"IPYTHONDIR": self._profile.name},
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        self.kc = self.km.client()
        self.kc.start_channels()
        try:
            self.kc.wait_for_ready(timeout=startup_timeout)
            self._inspect("remember")
        except BaseException:
            self.stop()
            raise

    def run(self, source: str, *, timeout: float = 120.0) -> Run:
        """Run one cell to its end.

        Raises:
            KernelLost: the kernel died, or the cell ran for more than `timeout` seconds.
        """
        return self._run(source, timeout, silent=False)

    def unfinished(self) -> list[str]:
        """Return what the cells left behind: running tasks, unretrieved exceptions, late output."""
        run, found = self._inspect("report")
        texts = [output.get("text", output) for output in run.outputs]
        return [*found, *run.late, *(f"at the end of the notebook came:\n{text}" for text in texts)]

    def stop(self) -> None:
        """End the kernel and its channels; a second call does nothing."""
        if not self._log.closed:
            self.kc.stop_channels()
            with suppress(RuntimeError):
                self.km.shutdown_kernel(now=True)
        self._log.close()
        self._profile.cleanup()

    def _inspect(self, function: str) -> tuple[Run, list[str]]:
        call = f"(lambda ns: exec({INSPECTION!r}, ns) or ns[{function!r}]())({{}})"
        run = self._run("", REPLY_S, silent=True, user_expressions={"found": call})
        answer = run.expressions["found"]
        if answer["status"] != "ok":
            raise KernelLost(f"the kernel could not be inspected: {answer['evalue']}")
        return run, json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    def _run(self, source: str, timeout: float, *, silent: bool, **options: Any) -> Run:
        if self.lost:
            raise KernelLost(f"not run, because {self.lost}")
        run = Run()
        msg_id = self.kc.execute(
            source,
            silent=silent,
            store_history=not silent,
            allow_stdin=False,
            stop_on_error=False,
            **options,
        )
        if not silent:
            self._sent.append(msg_id)
        try:
            _collect(self._messages(timeout), msg_id, run, self._sent)
            self._read_reply(msg_id, run)
        except TimeoutError:
            self._give_up(msg_id, run, timeout)
        return run

    def _messages(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Yield the messages that the kernel publishes in the next `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                yield self.kc.get_iopub_msg(timeout=min(left, POLL_S))
            except Empty:
                self._expect_alive()
        raise TimeoutError

    def _expect_alive(self) -> None:
        if not self.km.is_alive():
            self._log.seek(0)
            last_words = "\n".join(self._log.read().decode(errors="replace").splitlines()[-20:])
            self.lost = f"the kernel died in {self._where()}"
            raise KernelLost(f"{self.lost}\n{last_words}")

    def _read_reply(self, msg_id: str, run: Run) -> None:
        deadline = time.monotonic() + REPLY_S
        while time.monotonic() < deadline:
            try:
                message = self.kc.get_shell_msg(timeout=POLL_S)
            except Empty:
                self._expect_alive()
                continue
            if message["parent_header"].get("msg_id") == msg_id:
                reply = message["content"]
                run.status, run.count = reply["status"], reply.get("execution_count")
                run.payloads = [payload["source"] for payload in reply.get("payload", [])]
                run.expressions = reply.get("user_expressions", {})
                _add_missing_error(run, reply)
                return
        raise TimeoutError

    def _give_up(self, msg_id: str, run: Run, timeout: float) -> None:
        self.km.interrupt_kernel()
        with suppress(TimeoutError, KernelLost):
            _collect(self._messages(INTERRUPT_S), msg_id, run, self._sent)
        self.lost = f"{self._where()} ran into its time limit of {timeout:g} s"
        last_words = [line for output in run.outputs for line in output.get("traceback", [])]
        self.stop()
        raise KernelLost("\n".join([self.lost, *last_words]))

    def _where(self) -> str:
        return f"cell {len(self._sent)}" if self._sent else "its start"


def _collect(messages: Iterator[dict[str, Any]], msg_id: str, run: Run, sent: list[str]) -> None:
    """Apply messages as a notebook does, up to the one that says that the cell is done."""
    displays: dict[str, Output] = {}
    clear = False
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != msg_id:
            if late := _late(message, sent):
                run.late.append(late)
        elif kind == "status" and content["execution_state"] == "idle":
            return
        elif kind == "clear_output":
            clear = bool(content["wait"])
            if not clear:
                run.outputs.clear()
        elif kind == "update_display_data":
            if shown := displays.get(content["transient"]["display_id"]):
                shown.update(data=content["data"], metadata=content["metadata"])
            else:
                run.late.append("a display of an earlier cell was updated")
        elif output := _output(kind, content):
            if clear:
                run.outputs.clear()
                clear = False
            run.outputs.append(output)
            if display_id := content.get("transient", {}).get("display_id"):
                displays[display_id] = output


def _output(kind: str, content: dict[str, Any]) -> Output | None:
    fields = {
        "stream": ("name", "text"),
        "display_data": ("data", "metadata"),
        "execute_result": ("data", "metadata", "execution_count"),
        "error": ("ename", "evalue", "traceback"),
    }
    if kind not in fields:
        return None
    return {"output_type": kind, **{name: content[name] for name in fields[kind]}}


def _late(message: dict[str, Any], sent: list[str]) -> str | None:
    output = _output(message["msg_type"], message["content"])
    if output is None:
        return None
    parent = message["parent_header"].get("msg_id")
    cell = f"cell {sent.index(parent) + 1}" if parent in sent else "no cell"
    text = output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain")
    return f"output of {cell} came after its end, where no notebook keeps it:\n{text}"


def _add_missing_error(run: Run, reply: dict[str, Any]) -> None:
    """Add an error output if IPython only wrote to stderr: for exception groups and bad magics."""
    if run.status != "error" or any(output["output_type"] == "error" for output in run.outputs):
        return
    pieces = [output for output in run.outputs if output.get("name") == "stderr"]
    before, start, rest = _split_traceback("".join(piece["text"] for piece in pieces))
    for place, piece in enumerate(pieces):  # the kernel may send the text in several
        piece["text"] = "" if place else before
    run.outputs[:] = [output for output in run.outputs if output.get("text") != ""]
    error = {"ename": reply["ename"], "evalue": reply["evalue"], "traceback": [start + rest]}
    run.outputs.append({"output_type": "error", **error})


def _split_traceback(text: str) -> tuple[str, str, str]:
    match = re.search(r"^ *\+ Exception Group Traceback|^UsageError: ", text, re.MULTILINE)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")
