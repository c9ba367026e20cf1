"""`asynqio task`."""
