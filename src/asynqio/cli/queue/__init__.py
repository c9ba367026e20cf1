"""`asynqio queue`."""
