"""Benchmarks of each broker and of other systems, run in turns on the same machine: `make bench`."""
