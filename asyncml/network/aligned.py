"""Arrays that start at a cache line, which makes operations on whole vectors faster.

The memory that NumPy gets from the system starts 16 bytes after a 64-byte cache line. A core that
reads 64 bytes at once then touches two lines each time, which can double the time of an operation.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LINE = 64  # bytes; on machines with 128, every second array is aligned by chance, as before


def zeros(shape: int | Sequence[int]) -> npt.NDArray[np.float32]:
    """Return an array of float32 zeros whose memory starts at a cache line.

    Example:
        >>> zeros((3, 5)).ctypes.data % LINE
        0
    """
    shape = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    memory = np.zeros(math.prod(shape) * 4 + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : len(memory) - LINE + start].view(np.float32).reshape(shape)
