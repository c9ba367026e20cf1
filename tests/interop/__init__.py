"""Interoperability: asynqio and Go's asynq on the same Redis."""
