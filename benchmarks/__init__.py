"""Benchmarks against peers and limits: `python -m benchmarks [NAME ...]`."""
