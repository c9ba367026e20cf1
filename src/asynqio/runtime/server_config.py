"""The options of a worker server: fields, defaults and limits."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from asynqio.core.attempts.shorten import TRACEBACK_LIMIT
from asynqio.core.groups import MAX_FAILURES, GroupRule
from asynqio.core.lifecycle import UnknownTask
from asynqio.errors import ConfigError


def _cpus() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The options of a worker server. Durations are seconds; defaults are Go's where Go has one. Raises ConfigError
    with every problem."""

    #: Attempts that run at the same time.
    concurrency: int = field(default_factory=lambda: max(10, _cpus()))
    #: Queues to work on, and the relative frequency with which each is polled first.
    queues: Mapping[str, int] = field(default_factory=lambda: {"default": 1})
    #: Always empty the queue with the highest weight first.
    strict_priority: bool = False
    #: Seconds that a stopping server waits for its handlers before it returns their tasks.
    shutdown_timeout: float = 8.0
    #: Seconds that a task stays leased to a server that does not renew the lease.
    lease: float = 30.0
    #: Run a process that renews the leases while the server itself cannot run Python.
    lease_keeper: bool = True
    #: Task processes, for handlers with run_in="process"; 0: one per CPU.
    processes: int = 0
    #: Replace a task process after this number of tasks, or once it holds more than this number of bytes; 0: never.
    process_max_tasks: int = 0
    process_max_memory: int = 0
    #: What to do with tasks whose type has no handler here: "defer", "fail" or "archive".
    unknown_tasks: UnknownTask = UnknownTask.DEFER
    #: Seconds that such a task is deferred.
    unknown_delay: float = 30.0
    #: Consecutive worker deaths during a task after which it is archived as poison.
    max_crashes: int = 3
    #: Report a handler that still runs this many seconds after it was asked to stop.
    stuck_after: float = 5.0
    #: Report an event loop that is blocked for this many seconds.
    blocked_after: float = 2.0
    #: Groups: aggregate after this many seconds without a new member …
    group_grace: float = 60.0
    #: … or this many seconds after the oldest member (0: off) …
    group_max_delay: float = 0.0
    #: … or at this number of members (0: off).
    group_max_size: int = 0
    #: Archive the members of a group after this number of failed aggregations in a row; 0: never.
    group_max_failures: int = MAX_FAILURES
    #: Keep log records of handlers in the records of their attempts.
    capture_logs: bool = False
    #: Bytes that the error and the traceback of an attempt may take in its record, compressed. Of a longer traceback
    #: the first and the last frames are kept.
    traceback_limit: int = TRACEBACK_LIMIT
    #: Whether a worker of an App also fires the schedules of the App.
    scheduler: bool = True
    #: Seconds between calls of the health check function, if any.
    health_interval: float = 15.0
    #: Address of the Prometheus endpoint; port 0: none. It has no access control.
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ConfigError(problems)

    @property
    def group_rule(self) -> GroupRule:
        """When groups are aggregated, unless an aggregation has its own rule."""
        return GroupRule(self.group_grace, self.group_max_delay, self.group_max_size)


class ServerOptions(TypedDict, total=False):
    """The fields of ServerConfig, as keyword arguments."""

    concurrency: int
    queues: Mapping[str, int]
    strict_priority: bool
    shutdown_timeout: float
    lease: float
    lease_keeper: bool
    processes: int
    process_max_tasks: int
    process_max_memory: int
    unknown_tasks: UnknownTask | Literal["defer", "fail", "archive"]
    unknown_delay: float
    max_crashes: int
    stuck_after: float
    blocked_after: float
    group_grace: float
    group_max_delay: float
    group_max_size: int
    group_max_failures: int
    capture_logs: bool
    traceback_limit: int
    scheduler: bool
    health_interval: float
    metrics_port: int
    metrics_host: str


#: Numbers: the smallest allowed value, and whether it must be whole.
_LIMITS: dict[str, tuple[float, bool]] = {
    "concurrency": (1, True),
    "shutdown_timeout": (0, False),
    "lease": (1, False),
    "processes": (0, True),
    "process_max_tasks": (0, True),
    "process_max_memory": (0, True),
    "unknown_delay": (0, False),
    "max_crashes": (1, True),
    "stuck_after": (0.1, False),
    "blocked_after": (0.1, False),
    "group_grace": (1, False),
    "group_max_delay": (0, False),
    "group_max_size": (0, True),
    "group_max_failures": (0, True),
    "traceback_limit": (200, True),
    "health_interval": (0.1, False),
    "metrics_port": (0, True),
}


def _problems(config: ServerConfig) -> list[str]:
    problems = []
    for name, (least, whole) in _LIMITS.items():
        value: object = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            problems.append(f"{name}={value!r} must be a number")
        elif value < least or (whole and value != int(value)):
            problems.append(
                f"{name}={value!r} must be a {'whole ' if whole else ''}number, at least {least:g}"
            )
    if not config.queues:
        problems.append("queues is empty: name at least one, such as {'default': 1}")
    queues: Mapping[Any, Any] = config.queues
    for queue, weight in queues.items():
        if not isinstance(queue, str) or not queue.strip():
            problems.append(f"queues: {queue!r} is not a queue name")
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 1:
            problems.append(
                f"queues: the weight of {queue!r} is {weight!r}, it must be a whole number, at least 1"
            )
    port: object = config.metrics_port
    if isinstance(port, int) and port > 65_535:
        problems.append(f"metrics_port={port!r} must be at most 65535")
    host: object = config.metrics_host
    if not isinstance(host, str) or not host:
        problems.append(f"metrics_host={host!r} must be an address such as 127.0.0.1, or 0.0.0.0 for all")
    unknown: object = config.unknown_tasks
    if not isinstance(unknown, UnknownTask):
        problems.append(f"unknown_tasks={unknown!r} must be an UnknownTask")
    return problems
