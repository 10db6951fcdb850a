"""A local web server whose paths say what goes wrong, for the tests of stores."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote


class Handler(BaseHTTPRequestHandler):
    """A handler that answers in HTTP/1.0, so that no thread waits for a second request.

    The last part of a path says what happens: `slow` never answers, `hang-up` disconnects before
    the answer, `stall` stops in the middle of it, `cut` disconnects there, a number is the status,
    `busy-N` fails N times; any other is an object whose bytes are its path.
    """

    requests: ClassVar[Counter[str]] = Counter()
    waiting, called_off = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        path = unquote(self.path)
        self.requests[path] += 1
        name = path.rpartition("/")[2]
        if name == "slow":
            self.wait()
        elif name == "hang-up":
            pass
        elif name.isdigit():
            self.send_error(int(name))
        elif name.startswith("busy-") and self.requests[path] <= int(name[5:]):
            self.send_error(503)
        else:
            self.answer(name, path.encode())

    def answer(self, name: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 10 * (name in ("cut", "stall"))))
        self.end_headers()
        self.wfile.write(body)
        if name == "stall":
            self.wait()

    def wait(self) -> None:
        """Return when the other side has closed the connection."""
        self.waiting.set()
        with suppress(ConnectionError):
            while self.connection.recv(1024):
                pass
        self.called_off.set()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(503 if self.path.endswith("503") else 405)

    def log_message(self, *arguments: object) -> None: ...


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler] = Handler) -> Iterator[str]:
    """Serve during the `with` block; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="web")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
