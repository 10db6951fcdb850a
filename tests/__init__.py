"""The tests, and what runs the notebooks."""

# read when NumPy is imported: two threads on two busy cores make a small product ten times slower
ONE_BLAS_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
