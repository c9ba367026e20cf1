"""`asynqio server`."""
