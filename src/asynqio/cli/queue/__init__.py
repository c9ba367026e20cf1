"""`asynqio queue`: queues."""
