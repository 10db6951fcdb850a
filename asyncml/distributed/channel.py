"""A connection between a worker and the server: a header, then bytes as they lie in memory.

Vectors are sent straight from memory and received straight into it, without a copy in between.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

_NUMBERS = 5
_HEADER = struct.Struct(f"<Bq{_NUMBERS}d")

DATA, END, NEXT, PUSH, ERROR = range(5)  # the kinds of message


class Channel:
    """Messages over a socket, in one direction at a time.

    Args:
        sock: a connected socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._sock, self._loop = sock, asyncio.get_running_loop()

    async def send(self, kind: int, data: Any = b"", *numbers: float) -> None:
        """Send a message: a few numbers, then `data`, which is bytes or an array."""
        view = memoryview(data).cast("B")
        rest = [0.0] * (_NUMBERS - len(numbers))
        await self._loop.sock_sendall(self._sock, _HEADER.pack(kind, len(view), *numbers, *rest))
        if view:
            await self._loop.sock_sendall(self._sock, view)

    async def receive(self) -> tuple[int, int, list[float]]:
        """Return the next message's kind, the number of bytes to read after it, and its numbers."""
        kind, size, *numbers = _HEADER.unpack(await self.read(_HEADER.size))
        return kind, size, numbers

    async def read(self, size: int) -> bytearray:
        """Return the next `size` bytes."""
        room = bytearray(size)
        await self.read_into(room)
        return room

    async def read_into(self, room: Any) -> None:
        """Fill a vector, or any other writable buffer."""
        view = memoryview(room).cast("B")
        while view:
            got = await self._loop.sock_recv_into(self._sock, view)
            if not got:
                raise ConnectionResetError("the connection has ended")
            view = view[got:]

    def has_ended(self) -> bool:
        """Return whether the other side has closed it; ask only while no data are due."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the connection; the other side notices."""
        self._sock.close()
