"""Side by side with peers and limits: `python -m benchmarks [NAME ...]`."""
