"""Commands about the whole system: `asynqio stats`, `doctor`, `config`, `metrics` and `version`."""
