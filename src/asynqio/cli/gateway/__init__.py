"""asynqio gateway."""
