"""Schedule entries and their events as the protobuf messages of Go asynq, and back (spec: redis wire format,
sections 2.4 to 2.6)."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from asynqio.brokers.redis.layout.messages import CLASSES, GO_ZERO, moment, timestamp
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.go_options import read_options
from asynqio.core.schedules.records import FireEvent
from asynqio.errors import CorruptMessage

_Entry, _Event = CLASSES["SchedulerEntry"], CLASSES["SchedulerEnqueueEvent"]


def encode_schedule(card: ScheduleInfo) -> bytes:
    """Go's `SchedulerEntry`. It has no field for a time zone: that stands before the spec, where cron has it."""
    own_zone = card.spec.startswith(("TZ=", "CRON_TZ="))
    prefix = "" if own_zone or card.zone in ("", "UTC") else f"CRON_TZ={card.zone} "
    return bytes(
        _Entry(
            id=card.id,
            spec=prefix + card.spec,
            task_type=card.type,
            task_payload=card.payload or b"",
            # Go's reader crashes on a text without a bracket (B30).
            enqueue_options=[text for text in card.options if "(" in text],
            next_enqueue_time=timestamp(GO_ZERO if card.next_at is None else card.next_at),
            prev_enqueue_time=timestamp(GO_ZERO if card.prev_at is None else card.prev_at),
        ).SerializeToString()
    )


def decode_scheduler(id: str, entries: list[bytes]) -> SchedulerInfo:
    """The card of a scheduler that only left Go's messages, newest first. Raises CorruptMessage."""
    host, pid, _ = f"::{id}".rsplit(":", 2)
    return SchedulerInfo(
        id,
        host.removeprefix("::"),
        int(pid) if pid.isdigit() else 0,
        started_at=0.0,
        entries=[_decode_schedule(data) for data in reversed(entries)],
    )


def _decode_schedule(data: bytes) -> ScheduleInfo:
    try:
        read = _Entry.FromString(data)
    except DecodeError as problem:
        raise CorruptMessage(f"{len(data)} bytes that are no schedule entry: {problem}") from None
    texts = list(read.enqueue_options)
    next_at, prev_at = moment(read.next_enqueue_time), moment(read.prev_enqueue_time)
    return ScheduleInfo(
        id=read.id,
        spec=read.spec,
        zone="",
        queue=read_options(texts).get("queue", "default"),
        type=read.task_type,
        payload=read.task_payload or None,
        options=texts,
        next_at=next_at if next_at > 0 else None,
        prev_at=prev_at if prev_at > 0 else None,
    )


def encode_event(event: FireEvent) -> bytes:
    """Go's `SchedulerEnqueueEvent`."""
    return bytes(_Event(task_id=event.task_id, enqueue_time=timestamp(event.at)).SerializeToString())


def decode_event(schedule_id: str, data: bytes) -> FireEvent:
    """The reverse. Raises CorruptMessage."""
    try:
        read = _Event.FromString(data)
    except DecodeError as problem:
        raise CorruptMessage(f"{len(data)} bytes that are no event of a schedule: {problem}") from None
    return FireEvent(schedule_id, read.task_id, round(moment(read.enqueue_time), 6))
