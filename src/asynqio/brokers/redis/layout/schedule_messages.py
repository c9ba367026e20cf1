"""Schedule entries and enqueue events in protobuf, as Go asynq stores them."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from asynqio.brokers.redis.layout.descriptors import CLASSES, GO_ZERO, moment, timestamp
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.schedules.go_options import read_options
from asynqio.errors import CorruptMessage

_Entry, _Event = CLASSES["SchedulerEntry"], CLASSES["SchedulerEnqueueEvent"]


def encode_schedule(info: ScheduleInfo) -> bytes:
    """Go's `SchedulerEntry`. It has no field for a time zone, so that is a prefix of the cron spec."""
    own_zone = info.spec.startswith(("TZ=", "CRON_TZ="))
    prefix = "" if own_zone or info.zone in ("", "UTC") else f"CRON_TZ={info.zone} "
    return bytes(
        _Entry(
            id=info.id,
            spec=prefix + info.spec,
            task_type=info.type,
            task_payload=info.payload or b"",
            # Go's reader crashes on an option without a parenthesis (B30).
            enqueue_options=[text for text in info.options if "(" in text],
            next_enqueue_time=timestamp(GO_ZERO if info.next_at is None else info.next_at),
            prev_enqueue_time=timestamp(GO_ZERO if info.prev_at is None else info.prev_at),
        ).SerializeToString()
    )


def decode_scheduler(id: str, entries: list[bytes]) -> SchedulerInfo:
    """The info of a Go scheduler, from its entries, newest first. Raises CorruptMessage."""
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
    except DecodeError as error:
        raise CorruptMessage(f"{len(data)} bytes that are not a schedule entry: {error}") from None
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
    """Decode `encode_event`. Raises CorruptMessage."""
    try:
        read = _Event.FromString(data)
    except DecodeError as error:
        raise CorruptMessage(f"{len(data)} bytes that are not an enqueue event: {error}") from None
    return FireEvent(schedule_id, read.task_id, round(moment(read.enqueue_time), 6))
