"""Log records of task processes."""
