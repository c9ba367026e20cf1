"""The schedules that an app declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from asynqio.app.task_function import TaskFunction
from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.misfire import Missed
from asynqio.core.task.naming import refuse_string
from asynqio.core.task.options import TaskOptions, check_declared
from asynqio.errors import ConfigError

_ZONE = "write zone, the name of a time zone such as 'Europe/Berlin'"
#: Words of other schedulers.
_CRON_WORDS = {
    "timezone": _ZONE,
    "tz": _ZONE,
    "coalesce": "write missed='once', the default",
    "misfire_grace_time": "write missed: what to do with ticks that no scheduler saw",
    "run_on_startup": "enqueue the task at the start instead",
    **dict.fromkeys(
        ("minute", "hour", "day", "day_of_week", "day_of_month", "month_of_year", "weekday", "second"),
        "write it into the spec: 'minute hour day month weekday'",
    ),
}

Scheduled = TypeVar("Scheduled", bound=TaskFunction[..., Any, Any])


class AppSchedules:
    """Entries declared with `@app.cron`, in order of declaration."""

    def __init__(self) -> None:
        self._by_id: dict[str, ScheduleEntry] = {}

    @property
    def entries(self) -> list[ScheduleEntry]:
        return list(self._by_id.values())

    def declare(
        self,
        spec: str,
        *,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        name: str,
        zone: str,
        missed: Missed,
        options: TaskOptions,
    ) -> Callable[[Scheduled], Scheduled]:
        """The decorator for one entry. Raises InvalidSchedule, and TypeError for `args` that are a bare string."""
        refuse_string("args", args)
        parse_schedule(spec, zone or "UTC")

        def declare(function: Scheduled) -> Scheduled:
            if not isinstance(function, TaskFunction):
                raise ConfigError(
                    [f"@app.cron({spec!r}) on {function!r}: write it above @app.task, which makes the task"]
                )
            check_declared(options, f"@app.cron({spec!r}) of task", function.type, also=_CRON_WORDS)
            task = function.task(*args, **(kwargs or {}))
            entry = ScheduleEntry(spec, task, name=name, zone=zone, missed=missed, **options)
            if (id := entry.id) in self._by_id:
                raise ConfigError(
                    [f"there is a schedule {id!r} already ({entry!r}): give one of them another name"]
                )
            self._by_id[id] = entry
            return function

        return declare

    def remove(self, type: str) -> None:
        """Remove the entries of a task type."""
        self._by_id = {id: entry for id, entry in self._by_id.items() if entry.task.type != type}
