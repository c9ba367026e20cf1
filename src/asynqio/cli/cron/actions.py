"""What the commands of `asynqio cron` do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from asynqio import ConfigError, Inspector, InvalidSchedule, ScheduleInfo, parse_schedule, upcoming
from asynqio.cli.output.terminal import facts, hint, show, table
from asynqio.cli.output.terminal import run as run_loop
from asynqio.cli.worker.actions import log_to_stderr
from asynqio.cli.worker.target import find_app

T = TypeVar("T")


def _ask(broker: str | None, question: Callable[[Inspector], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with Inspector(broker) as inspector:
            return await question(inspector)

    answer: T = run_loop(ask())
    return answer


def ls(broker: str | None, *, as_json: bool) -> None:
    cards = _ask(broker, lambda inspector: inspector.schedules())

    def people() -> None:
        if not cards:
            hint("no scheduler is there; `asynqio worker` and `asynqio cron serve` run one")
        titles = ["ID", "SPEC", "ZONE", "TYPE", "QUEUE", "NEXT", "PREVIOUS", "STATE", "OPTIONS"]
        table(titles, [_row(card) for card in cards])

    show(cards, people, as_json=as_json)


def _row(card: ScheduleInfo) -> list[object]:
    state = "paused" if card.paused else "active"
    next_at, prev_at = _moment(card.next_at), _moment(card.prev_at)
    return [
        card.id,
        card.spec,
        card.zone,
        card.type,
        card.queue,
        next_at,
        prev_at,
        state,
        " ".join(card.options),
    ]


def history(broker: str | None, id: str, size: int, offset: int, *, as_json: bool) -> None:
    events = _ask(broker, lambda inspector: inspector.fires(id, size=size, offset=offset))

    def people() -> None:
        table(["TASK", "PUT IN AT"], [[event.task_id, _moment(event.at)] for event in events])

    show(events, people, as_json=as_json)


def trigger(broker: str | None, id: str, *, as_json: bool) -> None:
    info = _ask(broker, lambda inspector: inspector.trigger(id))
    put_in = {"schedule": id, "task": info.id, "queue": info.queue, "type": info.type, "state": info.state}
    show(put_in, lambda: facts(list(put_in.items())), as_json=as_json)


def hold(broker: str | None, id: str, *, paused: bool, as_json: bool) -> None:
    def act(inspector: Inspector) -> Awaitable[bool]:
        return inspector.pause_schedule(id) if paused else inspector.resume_schedule(id)

    changed = _ask(broker, act)
    said = (
        f"{id} {'is' if changed else 'was'} {'paused' if paused else 'active'}{'' if changed else ' already'}"
    )
    show({"schedule": id, "paused": paused, "changed": changed}, lambda: print(said), as_json=as_json)


def reset(broker: str | None, id: str, *, as_json: bool) -> None:
    _ask(broker, lambda inspector: inspector.reset_schedule(id))
    show({"schedule": id, "reset": True}, lambda: print(f"{id} starts anew"), as_json=as_json)


def following(broker: str | None, what: str, count: int, zone: str, *, as_json: bool) -> None:
    if " " in what.strip() or what.startswith("@"):
        try:
            schedule = parse_schedule(what, zone)
        except InvalidSchedule as error:
            raise ConfigError([str(error)]) from None
        times = upcoming(schedule, datetime.now(UTC).timestamp(), count, aligned=True)
    else:

        async def ask(inspector: Inspector) -> tuple[ScheduleInfo, list[float]]:
            return await inspector.schedule(what), await inspector.upcoming(what, count)

        card, times = _ask(broker, ask)
        zone = card.zone or "UTC"

    def people() -> None:
        if not times:
            hint("it does not fire in the next five years")
        for at in times:
            local = (
                ""
                if zone == "UTC"
                else f"  {datetime.fromtimestamp(at, ZoneInfo(zone)):%a %Y-%m-%d %H:%M:%S %z}"
            )
            print(f"{_moment(at)}{local}")

    show(times, people, as_json=as_json)


def serve(target: str, broker: str | None, log_level: str) -> None:
    app = find_app(target)
    if broker is not None:
        app.use_broker(broker)
    if not app.schedules:
        raise ConfigError([f"{target} has no schedules: declare some with @app.cron"])
    log_to_stderr(log_level)
    asyncio.run(app.run_scheduler())


def _moment(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
