"""The pytest plugin of asynqio: loaded by pytest itself, through the entry point in pyproject.toml."""
