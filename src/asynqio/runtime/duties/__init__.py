"""Periodic work of a worker server, one duty per file."""
