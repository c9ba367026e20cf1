"""Schedules as stored in Redis, and Go's bugs in them."""

from __future__ import annotations

import asyncio

from asynqio import ScheduleEntry, Task
from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE
from asynqio.brokers.contract.results import Admission, Fired
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.brokers.redis.layout.schedule_messages import decode_scheduler, encode_event, encode_schedule
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.firing import Fire, FireEvent
from asynqio.core.schedules.go_options import read_options
from asynqio.runtime.scheduling.hooks import Hooks
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.scheduling.ticker import Ticker
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import entry

#: A message written by Go asynq 0.26.
VECTOR = (
    "0a026531120a406576657279203330731a047469636b2a0c517565756528226c6f77222932060880f2d6ca06"
    "3a0b088092b8c398feffffff01"
)
ENTRY = ScheduleInfo("e1", "@every 30s", "UTC", "low", "tick", None, ['Queue("low")'], next_at=1767225600.0)
HISTORY = "asynq:scheduler_history:report"


def test_an_entry_is_written_as_go_writes_it() -> None:
    assert encode_schedule(ENTRY).hex() == VECTOR


def test_an_entry_of_go_is_read() -> None:
    scheduler = decode_scheduler("some:host:77:id", [bytes.fromhex(VECTOR)])
    assert (scheduler.host, scheduler.pid, scheduler.started_at) == ("some:host", 77, 0.0)
    [read] = scheduler.entries
    assert (read.id, read.spec, read.queue, read.type) == ("e1", "@every 30s", "low", "tick")
    assert (read.options, read.next_at, read.prev_at) == (['Queue("low")'], 1767225600.0, None)


def test_b30_options_that_crash_go_are_not_written() -> None:
    odd = ScheduleInfo("e1", "0 9 * * *", "Europe/Berlin", "a)b", "t", options=['Queue("a)b")', "nonsense"])
    [read] = decode_scheduler("h:1:x", [encode_schedule(odd)]).entries
    assert read.options == ['Queue("a)b")'], "a text without a bracket crashes Go's reader"
    assert read_options(read.options) == {"queue": "a)b"}
    assert read.queue == "a)b"
    assert read.spec == "CRON_TZ=Europe/Berlin 0 9 * * *", "Go has no other place for a zone"


def test_an_event_is_written_as_go_writes_it() -> None:
    assert encode_event(FireEvent("x", "id", 1767225600.5)).hex() == "0a026964120c0880f2d6ca061080cab5ee01"


async def test_b22_a_tick_is_claimed_once_among_many_schedulers(broker: RedisBroker, go: GoClient) -> None:
    fires = [Fire("report", 60, entry(f"task-{number}")) for number in range(5)]
    answers = await asyncio.gather(*(broker.fire([fire]) for fire in fires))
    assert [answer for [answer] in answers].count(Fired(Admission.ACCEPTED)) == 1
    assert len([name for name in await go.names() if name.startswith("t:")]) == 1
    last = await go("HGET", key("asynqio:cron"), "last:report")
    assert last.split(b" ")[:2] == [b"60", b"1"]


async def test_b22_the_history_of_a_deleted_schedule_expires(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await broker.record([FireEvent("report", "a", clock.now())])
    await go("EXPIRE", HISTORY, 10)
    await broker.record([FireEvent("report", "b", clock.now())])
    assert FIRES_AGE - 5 < await go("TTL", HISTORY) <= FIRES_AGE, "each event renews it"
    assert [event.task_id for event in await broker.fires("report", Page())] == ["b", "a"]


async def test_b22_entries_are_visible_from_the_first_heartbeat_until_the_scheduler_leaves(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    info = SchedulerInfo("h:1:x", "h", 1, clock.now(), [ENTRY, ENTRY])
    await broker.beat(info, 15)
    assert await go("ZSCORE", "asynq:schedulers", "asynq:schedulers:{h:1:x}") == clock.now() + 15
    assert await go("LRANGE", "asynq:schedulers:{h:1:x}", 0, -1) == [bytes.fromhex(VECTOR)] * 2
    assert 0 < await go("TTL", "asynq:schedulers:{h:1:x}") <= 15
    await broker.leave(info)
    assert await go("KEYS", "asynq*") == []


async def test_a_server_without_our_record_is_read_from_gos_messages(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await broker.beat(SchedulerInfo("h:1:x", "h", 1, clock.now(), [ENTRY]), 15)
    await go("DEL", "asynqio:schedulers:{h:1:x}")
    [scheduler] = await broker.schedulers()
    assert (scheduler.id, scheduler.started_at) == ("h:1:x", 0.0)
    assert [info.id for info in scheduler.entries] == ["e1"]


async def test_an_unreadable_record_does_not_hide_others(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await broker.beat(SchedulerInfo("h:1:x", "h", 1, clock.now(), [ENTRY]), 15)
    await go("ZADD", "asynq:schedulers", clock.now() + 100, "asynq:schedulers:{h:2:y}")
    await go("LPUSH", "asynq:schedulers:{h:2:y}", b"\xff\xff")
    assert [scheduler.id for scheduler in await broker.schedulers()] == ["h:1:x"]


async def test_an_unreadable_event_does_not_hide_others(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await broker.record([FireEvent("report", "a", clock.now())])
    await go("ZADD", HISTORY, clock.now() + 1, b"\xff\xff")
    assert [event.task_id for event in await broker.fires("report", Page())] == ["a"]


async def test_thousands_of_schedules_are_read_in_chunks(broker: RedisBroker) -> None:
    ids = [f"s{number:05}" for number in range(2_500)]
    await broker.register_schedules("default", ids)
    assert list(await broker.schedule_states("default")) == ids
    assert await broker.prune_schedules("default", ids, broker.clock.now()) == len(ids)


async def test_a_damaged_queue_does_not_affect_schedules_of_other_queues(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await go("SET", key("pending", "bad"), "no list")
    entries = [ScheduleEntry("@every 1m", Task("t"), name=name, queue=name) for name in ("bad", "good")]
    ticker = Ticker(broker, Terms(), Hooks())
    await ticker.serve([plan for plan in await ticker.plan(entries) if isinstance(plan, Plan)])
    for _ in range(3):
        clock.advance(60)
        await ticker.once()
    assert await go("LLEN", key("pending", "good")) == 3
    assert (await broker.schedule_states("bad"))["bad"].last is None, "its ticks are still to be taken"
