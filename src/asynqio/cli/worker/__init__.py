"""`asynqio worker`."""
