"""A connection between a worker and the server: a header, and then bytes as they lie in memory.

Vectors are sent from their own memory and received into it, without a copy in between.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, NamedTuple

_HEADER = struct.Struct("<Bq3q2d")

# what a message is
HELLO, MODEL, NEXT, PART, END, PUSH, PARAMS, ERROR = range(8)


class Header(NamedTuple):
    """What comes before the bytes: the kind, how many bytes, three counts and two times."""

    kind: int
    size: int
    a: int
    b: int
    c: int
    x: float
    y: float


class Channel:
    """Messages over a socket, in one direction after the other.

    Args:
        sock: connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._sock, self._loop = sock, asyncio.get_running_loop()
        self._room = bytearray(_HEADER.size)

    async def send(
        self, kind: int, data: Any = b"", a: int = 0, b: int = 0, c: int = 0, x: float = 0.0,
        y: float = 0.0,
    ) -> None:  # fmt: skip
        """Send a message; `data` is bytes or an array."""
        view = memoryview(data).cast("B")
        header = _HEADER.pack(kind, len(view), a, b, c, x, y)
        await self._loop.sock_sendall(self._sock, header)
        if view:
            await self._loop.sock_sendall(self._sock, view)

    async def receive(self) -> Header:
        """Return the header of the next message, whose bytes are to be read then."""
        await self._fill(memoryview(self._room))
        return Header(*_HEADER.unpack(self._room))

    async def read(self, size: int) -> bytearray:
        """Return so many bytes."""
        room = bytearray(size)
        await self._fill(memoryview(room))
        return room

    async def read_into(self, vector: Any) -> None:
        """Fill a vector."""
        await self._fill(memoryview(vector).cast("B"))

    async def _fill(self, view: memoryview) -> None:
        while view:
            got = await self._loop.sock_recv_into(self._sock, view)
            if not got:
                raise ConnectionResetError("the connection has ended")
            view = view[got:]

    def has_ended(self) -> bool:
        """Whether the other side has closed it, while it is not to send anything."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close it; the other side notices."""
        self._sock.close()
