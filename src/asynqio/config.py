"""Configuration of a server, with the source of each value.

Arguments override the environment (`ASYNQIO_CONCURRENCY=20`, `ASYNQIO_QUEUES="critical=6,default=3"`), which
overrides the file (`asynqio.toml`, table `[server]`), which overrides the defaults. One ConfigError lists all
problems. Nothing is read at import time.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import UnknownTask
from asynqio.core.task.options import OPTION_NAMES
from asynqio.errors import ConfigError
from asynqio.runtime.server_config import ServerConfig

#: The environment variable that names the broker.
BROKER_VARIABLE = "ASYNQIO_BROKER"
#: Read by `asynqio gateway`.
_OF_GATEWAYS = ("ADMIN_USERNAME", "ADMIN_PASSWORD", "ADMIN_TOKEN")
#: Set by the supervisor for its workers.
_INTERNAL_VARIABLES = ("ASYNQIO_SUPERVISOR_PIPE", "ASYNQIO_WORKER_INDEX")
_KUBERNETES = re.compile(r"(^|_)(SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)$")


class Setting(NamedTuple):
    """One value of a configuration, with its source (`origin`)."""

    name: str
    value: Any
    origin: str


def load(
    arguments: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[ServerConfig, list[Setting]]:
    """Load the configuration of a server from all sources. A missing `file` is no error. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    fields = {item.name: item for item in dataclasses.fields(ServerConfig)}
    problems: list[str] = []
    found: dict[str, Setting] = {}
    for source, raw in (
        (str(file), _from_file(file, problems) if file is not None and file.exists() else {}),
        ("environment", _from_environment(environ, fields)),
        ("argument", arguments),
    ):
        for name, value in raw.items():
            if name not in fields:
                problems.append(f"{source}: {_unknown(name, fields)}")
                continue
            try:
                origin = f"ASYNQIO_{name.upper()}" if source == "environment" else source
                found[name] = Setting(name, _parse(name, value), origin)
            except ValueError as problem:
                problems.append(f"{source}: {name}={value!r} {problem}")
    try:
        config = ServerConfig(**{setting.name: setting.value for setting in found.values()})
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    settings = [found.get(name) or Setting(name, getattr(config, name), "default") for name in fields]
    return config, settings


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """One message for each ASYNQIO_… variable that names no setting. Those that Kubernetes sets for a service named
    asynqio are ignored."""
    known = [*(item.name.upper() for item in dataclasses.fields(ServerConfig)), "BROKER", *_OF_GATEWAYS]
    messages = []
    for name in os.environ if environ is None else environ:
        prefix, _, rest = name.partition("ASYNQIO_")
        if prefix or not rest or rest in known or name in _INTERNAL_VARIABLES or _KUBERNETES.search(rest):
            continue
        near = difflib.get_close_matches(rest, known, n=1)
        suggestion = f"did you mean ASYNQIO_{near[0]}?" if near else "it is ignored"
        messages.append(f"unknown variable {name}: {_INSTEAD.get(rest.lower(), suggestion)}")
    return sorted(messages)


def broker_url(argument: str | None, environ: Mapping[str, str] | None = None) -> str:
    """The URL of the broker, from the argument or the environment. Raises ConfigError."""
    url = argument or (os.environ if environ is None else environ).get(BROKER_VARIABLE, "")
    if not url:
        raise ConfigError(
            [f"no broker: give a URL such as sqlite:///tasks.db or memory://, or set {BROKER_VARIABLE}"]
        )
    return url


def store_of(broker: str | Store | None) -> tuple[Store, bool]:
    """The broker of an argument (None: the environment's), and whether it was made here, to be opened and closed
    by the caller. Raises ConfigError."""
    if broker is None or isinstance(broker, str):
        return open_broker(broker_url(broker)), True
    return check_store(broker), False


def check_store(broker: object) -> Store:
    """Raises ConfigError for what is neither a URL nor a broker."""
    if not hasattr(broker, "enqueue") or not hasattr(broker, "private_url"):
        raise ConfigError(
            [f"the broker must be a URL such as sqlite:///tasks.db, or a broker, not {broker!r}"]
        )
    return cast("Store", broker)


def parse_queues(text: str) -> dict[str, int]:
    """Parse `critical=6,default=3` or `critical,default` (weight 1) as weights by queue. Raises ValueError."""
    queues: dict[str, int] = {}
    for part in text.split(","):
        name, separator, weight = part.rpartition("=")
        if not separator:
            name, weight = part, "1"
        if not name.strip() or not weight.strip().isdigit():
            raise ValueError("must look like critical=6,default=3")
        queues[name.strip()] = int(weight)
    return queues


def _from_file(file: Path, problems: list[str]) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        problems.append(f"{file}: {problem}")
        return {}
    problems.extend(f"{file}: {_unknown(name, {'server': None})}" for name in table if name != "server")
    server = table.get("server", {})
    if not isinstance(server, dict):
        problems.append(f"{file}: server={server!r} must be a table: write [server] over its settings")
        return {}
    return server


def _from_environment(environ: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, str]:
    names = {f"ASYNQIO_{name.upper()}": name for name in fields}
    return {names[key]: value for key, value in environ.items() if key in names}


#: Words of other workers, and the setting to write instead.
_INSTEAD = {
    "workers": "write concurrency (coroutines and threads) or processes",
    "threads": "write concurrency",
    "worker_concurrency": "write concurrency",
    "max_jobs": "write concurrency",
    "pool_size": "write concurrency",
    "pool": "leave it out: each task says run_in='thread' or 'process'; coroutines run on the event loop",
    "prefetch": "leave it out: a server fetches as many tasks as it has free slots",
    "prefetch_multiplier": "leave it out: a server fetches as many tasks as it has free slots",
    "max_tasks_per_child": "write process_max_tasks",
    "max_memory_per_child": "write process_max_memory, in bytes",
    "visibility_timeout": "write lease, in seconds",
    "queue": "write queues, such as {'critical': 6, 'default': 3}",
    "beat": "write scheduler",
    "log_level": "configure logging: asynqio.logs.configure(level=…)",
}


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    if name in _INSTEAD:
        return f"unknown option {name!r}: {_INSTEAD[name]}"
    if name in OPTION_NAMES:
        return f"unknown option {name!r}: it is an option of tasks, for @app.task(…), App(…) or Client(…)"
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown option {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _parse(name: str, value: Any) -> Any:
    """The value in the type of its field; the environment has text. Raises ValueError."""
    default = getattr(DEFAULTS, name)
    if isinstance(default, UnknownTask):
        if isinstance(value, UnknownTask):
            return value
        try:
            return UnknownTask(str(value).lower())
        except ValueError:
            raise ValueError(f"must be one of {', '.join(item.value for item in UnknownTask)}") from None
    if isinstance(default, str):
        return value
    if isinstance(default, Mapping):
        if isinstance(value, str):
            return parse_queues(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return dict.fromkeys(value, 1)
        raise ValueError("must map queue names to weights")
    if isinstance(default, bool):
        return _parse_bool(value)
    if isinstance(value, bool):
        raise ValueError("must be a number")
    try:
        return int(value) if isinstance(default, int) and not isinstance(value, float) else float(value)
    except (TypeError, ValueError):
        raise ValueError("must be a number") from None


def _parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


#: The defaults; their types are those of the fields.
DEFAULTS = ServerConfig()
