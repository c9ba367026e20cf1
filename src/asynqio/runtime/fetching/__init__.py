"""Takes tasks from the broker."""
