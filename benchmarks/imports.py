"""What `import asyncml` costs beyond NumPy and asyncio, as whole processes."""

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measuring import interleaved


def main() -> Iterator[tuple[str, str, str]]:
    before, after = interleaved(
        lambda: _run("import numpy, asyncio"), lambda: _run("import numpy, asyncio, asyncml")
    )
    yield "import asyncml", f"{(after - before) * 1e3:.0f} ms", "at most 40 ms"


def _run(source: str) -> None:
    subprocess.run([sys.executable, "-c", source], check=True)
