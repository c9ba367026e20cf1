"""Background duties of a worker server, one per file."""
