"""The tests, and the code that runs the notebooks."""

import sys

# read when NumPy is imported: two threads on two busy cores make a small product ten times slower
ONE_BLAS_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}

# jsonschema uses this module if it is installed, and spends 1.5 s of each process on a grammar of
# web addresses, which no schema here needs
NO_GRAMMAR = "import sys; sys.modules['rfc3987_syntax'] = None"


def module(name: str) -> list[str]:
    """Return the command that runs a module that loads jsonschema, like `python -m`."""
    run = f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", f"{NO_GRAMMAR}; {run}"]
