"""What can be set on a worker server, and what is a sensible value."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import UnknownTask
from asynqio.errors import ConfigError


def _cpus() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a worker server works. Durations are seconds; defaults are Go's where Go has one."""

    #: Attempts that run at the same time.
    concurrency: int = field(default_factory=lambda: max(10, _cpus()))
    #: Queues to work on, and how often each is looked at first in comparison.
    queues: Mapping[str, int] = field(default_factory=lambda: {"default": 1})
    #: Always empty the queue of the highest weight first.
    strict_priority: bool = False
    #: How long a stopping server waits for its handlers before it hands their tasks back.
    shutdown_timeout: float = 8.0
    #: How long a task stays with this server without a sign of life from it.
    lease: float = 30.0
    #: A process that keeps the leases while the server's own cannot run Python.
    lease_keeper: bool = True
    #: Processes for handlers with run_in="process"; 0: one per CPU.
    processes: int = 0
    #: Replace such a process after so many tasks, or when it holds more than so many bytes; 0: never.
    process_max_tasks: int = 0
    process_max_memory: int = 0
    #: What becomes of tasks whose type has no handler here: "defer", "fail" or "archive".
    unknown_tasks: UnknownTask = UnknownTask.DEFER
    #: How long such a task is put off.
    unknown_delay: float = 30.0
    #: So many workers may die in a row while running a task; then it is archived as poison.
    max_crashes: int = 3
    #: Report a handler that was told to stop and is still there after so long.
    stuck_after: float = 5.0
    #: Report an event loop that does not run for so long.
    blocked_after: float = 2.0
    #: Groups: aggregate after so long without a new member …
    group_grace: float = 60.0
    #: … or so long after the oldest member (0: off) …
    group_max_delay: float = 0.0
    #: … or when there are so many (0: off).
    group_max_size: int = 0
    #: Keep what handlers write with `logging` in the records of their attempts.
    capture_logs: bool = False
    #: Whether a worker of an App fires the schedules of the App as well.
    scheduler: bool = True
    #: How often the health check function is called, if there is one.
    health_interval: float = 15.0
    #: Where Prometheus finds the metrics of the server; port 0: nowhere. They are open to whoever reaches them.
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ConfigError(problems)

    @property
    def group_rule(self) -> GroupRule:
        return GroupRule(self.group_grace, self.group_max_delay, self.group_max_size)


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
            problems.append(f"{name}={value!r} must be a {'whole ' if whole else ''}number from {least:g} up")
    if not config.queues:
        problems.append("queues is empty: name at least one, such as {'default': 1}")
    queues: Mapping[Any, Any] = config.queues
    for queue, weight in queues.items():
        if not isinstance(queue, str) or not queue.strip():
            problems.append(f"queues: {queue!r} is not a queue name")
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 1:
            problems.append(
                f"queues: the weight of {queue!r} is {weight!r}, it must be a whole number from 1 up"
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
