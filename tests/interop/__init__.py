"""asynqio and Go's asynq on one Redis: each has to understand what the other does."""
