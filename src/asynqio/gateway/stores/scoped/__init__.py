"""A store as one principal may see and use it."""
