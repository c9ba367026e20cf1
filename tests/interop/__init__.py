"""Interoperability: asynqio, Go's asynq and the Rust crate asynq on the same Redis."""
