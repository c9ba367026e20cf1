"""An entry of a scheduler: a cron spec and the task to enqueue at each tick."""

from __future__ import annotations

import hashlib
from typing import Unpack

from asynqio.core.schedules.go_options import option_texts
from asynqio.core.schedules.misfire import MAX_MISSED, Missed
from asynqio.core.task.options import TaskOptions, article, check_name, merge
from asynqio.core.task.task import Task
from asynqio.errors import InvalidSchedule


class ScheduleEntry:
    """Enqueues a task at each tick of a spec.

        ScheduleEntry("*/5 * * * *", Task.json("report", {"kind": "sales"}), zone="Europe/Berlin", queue="low")

    `name` identifies the entry across restarts, machines and changes of its other values; without a name, the id is
    a digest of its values. `zone`: the IANA time zone of the spec (default: that of the scheduler). `missed`: what to
    do with ticks at which no scheduler ran: `"skip"`, `"once"` (one task for all of them), or the number of latest
    missed ticks to fire late. Raises InvalidSchedule and InvalidName; the spec itself is parsed when a scheduler
    registers the entry.
    """

    __slots__ = ("missed", "name", "options", "spec", "task", "zone")

    def __init__(
        self,
        spec: str,
        task: Task,
        *,
        name: str = "",
        zone: str = "",
        missed: Missed = "once",
        **options: Unpack[TaskOptions],
    ) -> None:
        text: object = spec
        if not isinstance(text, str) or not text.strip():
            raise InvalidSchedule(
                str(spec), "is not a text: give five fields or a descriptor such as @every 5m"
            )
        if not isinstance(task, Task):
            raise InvalidSchedule(
                spec, f"needs a Task, not {article(task)}; make one with Task.json(type, value)"
            )
        if name != "":
            check_name("name", name)
        if not isinstance(zone, str):
            raise InvalidSchedule(
                spec, f"zone={zone!r} must be the name of a time zone, such as Europe/Berlin"
            )
        whole = isinstance(missed, int) and not isinstance(missed, bool) and 1 <= missed <= MAX_MISSED
        if missed not in ("skip", "once") and not whole:
            raise InvalidSchedule(
                spec, f'missed={missed!r} must be "skip", "once" or a whole number from 1 to {MAX_MISSED:,}'
            )
        self.spec = spec
        self.task = task
        self.name = name
        self.zone = zone
        self.missed: Missed = missed
        self.options = merge(task.options, options)

    @property
    def id(self) -> str:
        """The name, or a digest of spec, zone, type, payload and options. Raises InvalidOption."""
        if self.name:
            return self.name
        payload = self.task.payload
        parts = [self.spec, self.zone, self.task.type, "" if payload is None else "="]
        parts += sorted(option_texts(self.options))
        digest = hashlib.sha256(payload or b"")
        for part in parts:
            digest.update(b"%d:" % len(data := part.encode("utf-8", "surrogatepass")) + data)
        return digest.hexdigest()[:32]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScheduleEntry):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"ScheduleEntry({self.spec!r}, {self.task.type!r}{f', name={self.name!r}' if self.name else ''})"
        )
