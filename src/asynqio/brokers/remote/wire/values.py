"""Values of the contract in their form on the wire, where that is another one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from asynqio.brokers.contract.results import Expired, Output
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupPolicy, GroupRule, GroupRules
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.unique import UniqueUntil

#: The token of a lease: a number (memory), two numbers (SQLite) or two byte strings (Redis). `_token` checks it.
Token: TypeAlias = Any


class HeldTask(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A lease as `renew` and `write_output` need it."""

    queue: str
    type: str
    id: str
    token: Token


class LeasedTask(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A lease that was just taken or read."""

    message: TaskMessage
    expires_at: float
    token: Token
    pending_since: float


class SettledTask(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A settlement and its lease."""

    message: TaskMessage
    #: Whether the message is that of the lease, unchanged.
    same: bool
    token: Token
    unconfirmed: bool
    to: TaskState | None
    at: float
    processed: bool
    failed: bool
    result: bytes | None
    record: AttemptRecord | None


class WrittenOutput(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """The output of a handler."""

    lease: HeldTask
    result: bytes | None
    progress: bytes | None
    live: AttemptRecord | None


class ExpiredLeases(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """See `results.Expired`."""

    leases: list[LeasedTask]
    next_at: float | None


class Rules(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A GroupPolicy."""

    rules: dict[str, GroupRule]
    exact: bool


class Registration(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The info of a server or of a scheduler: one of them is None."""

    server: ServerInfo | None
    scheduler: SchedulerInfo | None


#: What a token is, or is made of.
_PLAIN = {int, str, bytes, type(None)}


def _token(value: Any) -> Hashable:
    """A received token: a plain value, or several of them. Raises ValidationError."""
    several = type(value) is list
    if not _PLAIN.issuperset(map(type, value if several else (value,))):
        raise msgspec.ValidationError("Expected a token that was given with a lease")
    return tuple(value) if several else value


# --- leases ---------------------------------------------------------------------------------------


def _held(lease: Lease) -> tuple[object, ...]:
    message = lease.message
    return message.queue, message.type, message.id, lease.token


def _lease(held: HeldTask) -> Lease:
    return Lease(TaskMessage(held.id, held.type, held.queue), 0.0, _token(held.token))


def pack_held(leases: Sequence[Lease]) -> list[tuple[object, ...]]:
    """Leases as `HeldTask`."""
    return [_held(lease) for lease in leases]


def unpack_held(tasks: list[HeldTask]) -> list[Lease]:
    """The leases. Their messages have no payload."""
    return [_lease(held) for held in tasks]


def pack_leases(leases: Sequence[Lease]) -> list[tuple[object, ...]]:
    """Leases as `LeasedTask`."""
    return [(lease.message, lease.expires_at, lease.token, lease.pending_since) for lease in leases]


def unpack_leases(tasks: list[LeasedTask]) -> list[Lease]:
    """The leases."""
    return [Lease(task.message, task.expires_at, _token(task.token), task.pending_since) for task in tasks]


def pack_expired(expired: Expired) -> tuple[object, ...]:
    """The answer to `expired` as `ExpiredLeases`."""
    return pack_leases(expired.leases), expired.next_at


def unpack_expired(expired: ExpiredLeases) -> Expired:
    """The answer to `expired`."""
    return Expired(unpack_leases(expired.leases), expired.next_at)


def renewed_until(arguments: Mapping[str, Any], held: list[bool]) -> list[float | None]:
    """The answer to `renew`: when each lease expires now; None: it is lost."""
    return [lease.expires_at if kept else None for lease, kept in zip(arguments["leases"], held, strict=True)]


# --- settlements and output -----------------------------------------------------------------------


def pack_settlements(settlements: Sequence[Settlement]) -> list[tuple[object, ...]]:
    """Settlements as `SettledTask`. Of a task that is deleted, only what identifies it and its lock is sent."""
    packed: list[tuple[object, ...]] = []
    for item in settlements:
        lease, message = item.lease, item.message
        same = message is lease.message
        if item.to is None:
            message = _identity(message)
        packed.append(
            (
                message,
                same,
                lease.token,
                lease.unconfirmed,
                item.to,
                item.at,
                item.processed,
                item.failed,
                item.result,
                item.record,
            )
        )
    return packed


def _identity(message: TaskMessage) -> TaskMessage:
    if not message.unique_key:
        return TaskMessage(message.id, message.type, message.queue)
    return TaskMessage(
        message.id,
        message.type,
        message.queue,
        unique_key=message.unique_key,
        unique_until=message.unique_until or UniqueUntil.FINISHED,
    )


def unpack_settlements(tasks: list[SettledTask]) -> list[Settlement]:
    """The settlements. The messages of their leases have no payload, unless they are unchanged."""
    settlements: list[Settlement] = []
    for task in tasks:
        message = task.message
        leased = message if task.same else TaskMessage(message.id, message.type, message.queue)
        lease = Lease(leased, 0.0, _token(task.token), 0.0, task.unconfirmed)
        settlements.append(
            Settlement(
                lease, task.to, message, task.at, task.processed, task.failed, task.result, task.record
            )
        )
    return settlements


def pack_outputs(outputs: Sequence[Output]) -> list[tuple[object, ...]]:
    """Outputs as `WrittenOutput`."""
    return [(_held(item.lease), item.result, item.progress, item.live) for item in outputs]


def unpack_outputs(outputs: list[WrittenOutput]) -> list[Output]:
    """The outputs."""
    return [Output(_lease(item.lease), item.result, item.progress, item.live) for item in outputs]


# --- groups ---------------------------------------------------------------------------------------


def pack_policy(policy: GroupPolicy) -> Rules:
    """A policy. A single rule has the pattern "", which matches every group."""
    return Rules(dict(policy.rules), policy.exact)


def unpack_policy(rules: Rules) -> GroupRules:
    """The policy."""
    return GroupRules(rules.rules, rules.exact)


def pack_claim(batch: GroupBatch) -> GroupBatch:
    """A batch without its members: the store knows them."""
    return msgspec.structs.replace(batch, messages=())


def pack_claims(batches: Sequence[GroupBatch]) -> list[GroupBatch]:
    """Batches without their members."""
    return [pack_claim(batch) for batch in batches]


# --- others ---------------------------------------------------------------------------------------


def pack_info(info: ServerInfo | SchedulerInfo) -> tuple[object, ...]:
    """The info as `Registration`."""
    return (info, None) if isinstance(info, ServerInfo) else (None, info)


def unpack_info(registration: Registration) -> ServerInfo | SchedulerInfo:
    """The info. Raises ValidationError if there is none."""
    info = registration.server or registration.scheduler
    if info is None:
        raise msgspec.ValidationError("Expected a server or a scheduler - at `$[2]`")
    return info


def pack_payloads(payloads: Mapping[TaskRef, bytes]) -> list[tuple[TaskRef, bytes]]:
    """The payloads of tasks as pairs."""
    return list(payloads.items())


def unpack_payloads(pairs: list[tuple[TaskRef, bytes]]) -> dict[TaskRef, bytes]:
    """The payloads by task."""
    return dict(pairs)
