"""`asynqio task` and `asynqio explain`: tasks."""
