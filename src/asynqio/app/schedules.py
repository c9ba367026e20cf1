"""The part of `App` that puts its tasks in by the clock."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from asynqio.app.task_function import TaskFunction
from asynqio.brokers.contract.broker import Store
from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.misfire import Missed
from asynqio.core.task.options import TaskOptions
from asynqio.errors import ConfigError
from asynqio.runtime.scheduling.source import Source
from asynqio.scheduler import SYNC_EVERY, Scheduler

F = TypeVar("F", bound=TaskFunction[..., Any, Any])


class AppSchedules(ABC):
    """Schedules declared beside the tasks."""

    _max_payload: int
    _defaults: TaskOptions
    _schedules: list[ScheduleEntry]

    @property
    @abstractmethod
    def broker(self) -> Store: ...

    def cron(
        self,
        spec: str,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str = "",
        zone: str = "",
        missed: Missed = "once",
        **options: Unpack[TaskOptions],
    ) -> Callable[[F], F]:
        """Enqueue a task at each tick of a cron spec; above `@app.task`, as often as you like.

            @app.cron("*/5 9-17 * * mon-fri", zone="Europe/Berlin")
            @app.task
            async def report() -> None: ...

        `args` and `kwargs` are the arguments of the call, `options` those of its tasks, and `name`, `zone` and
        `missed` as for `ScheduleEntry`. Workers of the app fire it by themselves (`scheduler=False` switches that
        off), and so does `asynqio cron serve`. Raises InvalidSchedule, InvalidArguments, ConfigError.
        """
        parse_schedule(spec, zone or "UTC")

        def declare(function: F) -> F:
            if not isinstance(function, TaskFunction):
                raise ConfigError(
                    [f"@app.cron({spec!r}) stands above @app.task, on {function!r} it does not"]
                )
            task = function.task(*args, **(kwargs or {}))
            entry = ScheduleEntry(spec, task, name=name, zone=zone, missed=missed, **options)
            if any(other.id == entry.id for other in self._schedules):
                raise ConfigError(
                    [f"there is a schedule {entry.id!r} already ({entry!r}): give one of them another name"]
                )
            self._schedules.append(entry)
            return function

        return declare

    @property
    def schedules(self) -> Sequence[ScheduleEntry]:
        """The entries declared with `@app.cron`."""
        return tuple(self._schedules)

    def scheduler(self, *, source: Source | None = None, sync_every: float = SYNC_EVERY) -> Scheduler:
        """A scheduler for the entries of this app, and for those of a `source`; the app must be open while it
        runs (`run_scheduler` does both)."""
        return Scheduler(
            self.broker,
            entries=self._schedules,
            source=source,
            sync_every=sync_every,
            max_payload=self._max_payload,
            **self._defaults,
        )

    @contextlib.asynccontextmanager
    async def _scheduling(self, wanted: bool) -> AsyncIterator[None]:
        """Beside a worker server: only if there is something to fire."""
        if not wanted or not self._schedules:
            yield
            return
        async with self.scheduler():
            yield
