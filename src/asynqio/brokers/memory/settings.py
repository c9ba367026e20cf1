"""Settings of a `memory://` URL."""

from __future__ import annotations

from urllib.parse import parse_qsl

from asynqio.brokers.contract.limits import archive_age, archive_limit
from asynqio.brokers.memory.storage.store import Archive
from asynqio.errors import ConfigError


def parse_options(query: str) -> Archive:
    """The options in the query of a URL. Raises ConfigError with everything that is wrong with them."""
    archive: Archive = {}
    problems = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        try:
            if name == "archive_limit":
                archive["archive_limit"] = archive_limit(value)
            elif name == "archive_age":
                archive["archive_age"] = archive_age(value)
            else:
                problems.append(f"memory:// has no option {name!r}: it takes archive_limit, archive_age")
        except ValueError as problem:
            problems.append(f"{name}={value!r}: give {problem}")
    if problems:
        raise ConfigError(problems)
    return archive
