"""Prints schedules: `asynqio cron ls`, `history` and `next`."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from asynqio import ConfigError, Inspector, InvalidSchedule, ScheduleInfo, parse_schedule, upcoming
from asynqio.cli.event_loop import inspect, run
from asynqio.cli.output.json import show
from asynqio.cli.output.table import print_table
from asynqio.cli.output.terminal import hint


def list_schedules(broker: str | None, *, as_json: bool) -> None:
    async def draw(inspector: Inspector) -> None:
        schedules = await inspector.schedules()
        show(schedules, lambda: _print_schedules(schedules), as_json=as_json)

    inspect(broker, draw)


def _print_schedules(schedules: list[ScheduleInfo]) -> None:
    if not schedules:
        hint("no scheduler is running; start one with `asynqio worker` or `asynqio cron serve`")
    titles = ("id", "spec", "zone", "type", "queue", "next", "previous", "status", "options")
    rows = [
        (
            schedule.id,
            schedule.spec,
            schedule.zone,
            schedule.type,
            schedule.queue,
            _utc(schedule.next_at),
            _utc(schedule.prev_at),
            "paused" if schedule.paused else "active",
            " ".join(schedule.options),
        )
        for schedule in schedules
    ]
    print_table(titles, rows)


def show_history(broker: str | None, id: str, size: int, offset: int, *, as_json: bool) -> None:
    async def draw(inspector: Inspector) -> None:
        fires = await inspector.fires(id, size=size, offset=offset)
        rows = [(fire.task_id, _utc(fire.at)) for fire in fires]
        show(fires, lambda: print_table(("task", "enqueued at"), rows), as_json=as_json)

    inspect(broker, draw)


def show_next_times(broker: str | None, what: str, count: int, zone: str, *, as_json: bool) -> None:
    """Print the next `count` times of a spec (`* * * * *`, `@every 5m`) or of a schedule with the id `what`. Raises
    ConfigError for an invalid spec, NotFound."""
    if " " in what.strip() or what.startswith("@"):
        try:
            schedule = parse_schedule(what, zone)
        except InvalidSchedule as error:
            raise ConfigError([str(error)]) from None
        times = upcoming(schedule, datetime.now(UTC).timestamp(), count, aligned=True)
    else:
        info, times = run(_next_of(broker, what, count))
        zone = info.zone or "UTC"

    def print_text() -> None:
        if not times:
            hint("does not fire in the next five years")
        for at in times:
            print(f"{_utc(at)}{_local(at, zone)}")

    show(times, print_text, as_json=as_json)


async def _next_of(broker: str | None, id: str, count: int) -> tuple[ScheduleInfo, list[float]]:
    async with Inspector(broker) as inspector:
        return await inspector.schedule(id), await inspector.upcoming(id, count)


def _utc(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _local(at: float, zone: str) -> str:
    return "" if zone == "UTC" else f"  {datetime.fromtimestamp(at, ZoneInfo(zone)):%a %Y-%m-%d %H:%M:%S %z}"
