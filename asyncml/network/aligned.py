"""Arrays that begin at a cache line: what NumPy does with whole vectors is then faster.

NumPy asks the system for memory, and what it gets begins 16 bytes after a line of 64. A core that
reads 64 bytes at once then touches two lines each time, which can double the time of an operation.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LINE = 64  # bytes; 128 on some: then every second array is as lucky as before


def zeros(shape: int | Sequence[int]) -> npt.NDArray[np.float32]:
    """Return an array of zeros, float32, whose memory begins at a cache line.

    Example:
        >>> zeros((3, 5)).ctypes.data % LINE
        0
    """
    shape = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    memory = np.zeros(math.prod(shape) * 4 + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : len(memory) - LINE + start].view(np.float32).reshape(shape)
