"""The tenant file: a JSON array of `{id, username, password, queue_prefix}`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from asynqio.errors import ConfigError
from asynqio.gateway.principals.hidden_fields import HiddenFields
from asynqio.gateway.principals.passwords import hash_problem
from asynqio.gateway.principals.tenant import tenant_problems

#: Most bytes of a tenant file.
MAX_FILE = 16 * 1024 * 1024
_REQUIRED = ("id", "username")
_FIELDS = (*_REQUIRED, "password", "password_hash", "queue_prefix")

log = logging.getLogger("asynqio.gateway")


class TenantEntry(HiddenFields, frozen=True, kw_only=True):
    """A tenant of a tenant file: with a password or its hash."""

    SHOWN: ClassVar[tuple[str, ...]] = ("id", "username", "queue_prefix")

    id: str
    username: str
    queue_prefix: str
    password: str = ""
    password_hash: str = ""


def load_tenant_file(path: str | Path, *, production: bool = False) -> list[TenantEntry]:
    """Read a tenant file: an array of objects with `id`, `username`, `password` or `password_hash` (Argon2id), and
    optionally `queue_prefix` (default: the id).

    In production, a file that its group or others can read and a password in plain text are problems; otherwise they
    are logged as warnings. Blocks: call it before the event loop runs, or in a thread. Raises ConfigError with every
    problem; none contains a password.
    """
    path = Path(path)
    problems: list[str] = []
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError([f"tenant file {path}: cannot be read: {error.strerror}"]) from None
    if os.name == "posix" and mode & 0o077:
        problem = f"tenant file {path}: its group or others can access it: run chmod 600 {path}"
        if production:
            problems.append(problem)
        else:
            log.warning("%s", problem, extra={"event": "tenant_file_exposed", "path": str(path)})
    parsed = _parse(data)
    if isinstance(parsed, str):
        raise ConfigError([*problems, f"tenant file {path}: {parsed}"])
    entries: list[TenantEntry] = []
    wrong = list(_read(parsed, entries))
    plain = [
        f"[{index}]"
        for index, entry in enumerate(parsed)
        if isinstance(entry, dict) and entry.get("password")
    ]
    if plain and production:
        wrong += [
            f"{place}.password is plain text: give its Argon2id hash as password_hash" for place in plain
        ]
    elif plain and not wrong:
        log.warning(
            "tenant file %s: %d passwords are plain text: give their Argon2id hashes as password_hash",
            path,
            len(plain),
            extra={"event": "tenant_passwords_plain", "path": str(path), "count": len(plain)},
        )
    problems += [f"tenant file {path}: {text}" for text in wrong]
    if problems:
        raise ConfigError(problems)
    return entries


def _parse(data: bytes) -> list[Any] | str:
    """The array, or why the file has none. The parser's own errors contain the whole file, so they end here."""
    if len(data) > MAX_FILE:
        return f"has more than {MAX_FILE:,} bytes"
    try:
        found = json.loads(data)
    except json.JSONDecodeError as error:
        return f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        line, start = data.count(b"\n", 0, error.start) + 1, data.rfind(b"\n", 0, error.start)
        return f"is not UTF-8: line {line}, column {error.start - start}"
    except RecursionError:
        return "is nested too deeply"
    if not isinstance(found, list):
        return f"must be a JSON array of tenants, not {_kind(found)}"
    return found


def _read(parsed: list[Any], entries: list[TenantEntry]) -> Iterator[str]:
    """The problems of all entries, by index and field. Entries without problems are appended to `entries`."""
    seen: dict[tuple[str, str], int] = {}
    for index, found in enumerate(parsed):
        if not isinstance(found, dict):
            yield f"[{index}] must be an object, not {_kind(found)}"
            continue
        wrong = list(_fields(found))
        if not wrong:
            wrong = list(
                tenant_problems(
                    found["id"], found["username"], found.get("password"), found.get("queue_prefix")
                )
            )
            if (stored := found.get("password_hash")) is not None and (problem := hash_problem(stored)):
                wrong.append(f"password_hash {problem}")
        if wrong:
            yield from (f"[{index}].{text}" for text in wrong)
        prefix = found.get("queue_prefix")
        values = {**found, "queue_prefix": found.get("id") if prefix is None else prefix}
        for name in ("id", "username", "queue_prefix"):
            if not isinstance(value := values.get(name), str):
                continue
            first = seen.setdefault((name, value), index)
            if first != index and not (name == "queue_prefix" and prefix is None):
                wrong.append(name)
                yield f"[{index}].{name} {value!r} is that of [{first}] as well"
            elif first != index and values.get("id") != parsed[first].get("id"):
                wrong.append(name)
                yield f"[{index}].id {value!r} is the queue_prefix of [{first}]: give another queue_prefix"
        if not wrong:
            entries.append(
                TenantEntry(
                    id=found["id"],
                    username=found["username"],
                    queue_prefix=values["queue_prefix"],
                    password=found.get("password") or "",
                    password_hash=found.get("password_hash") or "",
                )
            )


def _fields(found: dict[str, Any]) -> Iterator[str]:
    """Fields that are missing, unknown or of the wrong type."""
    for name in _REQUIRED:
        if found.get(name) is None:
            yield f"{name} is missing"
    given = [name for name in ("password", "password_hash") if found.get(name) is not None]
    if len(given) != 1:
        yield "password is missing" if not given else "password and password_hash exclude each other"
    for name, value in found.items():
        if name not in _FIELDS:
            yield f"{name[:40]} is unknown: write {', '.join(_FIELDS)}"
        elif value is not None and not isinstance(value, str):
            yield f"{name} must be a string, not {_kind(value)}"


def _kind(value: object) -> str:
    """The JSON name of a value's type, never the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
