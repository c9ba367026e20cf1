"""A task: its message, options, payload and uniqueness."""
