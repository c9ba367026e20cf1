"""One attempt at one task, from its lease to its settlement."""
