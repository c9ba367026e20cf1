"""The guarantees of asynqio, tested with real processes that are killed, frozen and blocked."""
