"""Lanes: where handlers run, in threads and in processes."""
