"""Benchmark of the Redis broker: `python -m benchmarks.redis`."""
