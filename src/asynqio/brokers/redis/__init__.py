"""Tasks in Redis."""
