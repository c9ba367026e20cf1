"""Transfer of tasks to another queue, whose keys may be on another server: so in steps, each of which is atomic.

prepare  source: hide the task, so that no server dequeues it
prepare  target: store a hidden copy
commit   source: delete the task, and record the transfer
commit   target: make the copy a task
finish   source: delete the record

At every moment at least one of the two exists, and never can both be dequeued. Every step may be repeated; a caller
that starts again from the first step completes an interrupted transfer. `resume` does so when the caller is gone.

Several callers may transfer the same task, and one of them may be late. So each transfer has an id, and the source
queue decides: `prepare` takes the task over from earlier transfers, whose `commit` is then rejected. A copy becomes a
task only if the source has committed exactly its transfer, and is discarded if it never will.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asynqio.brokers.contract.results import Moved
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.layout.packing import pack, unpack
from asynqio.brokers.redis.operations.quarantine import decode_stored
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskRef
from asynqio.core.task.unique_locks import in_queue
from asynqio.errors import CorruptMessage

_REJECTED = {b"0": Moved.ID_CONFLICT, b"2": Moved.DUPLICATE}
#: Tasks transferred per call: each is copied completely. Large ones are copied in several calls.
BATCH_SIZE = 50
#: Seconds after which a transfer counts as interrupted.
INTERRUPTED_AFTER = 60.0


class Route(NamedTuple):
    """The queue that tasks leave, and the one that they enter."""

    source: QueueKeys
    target: QueueKeys


async def transfer(session: Session, refs: Sequence[TaskRef], target: str) -> list[Moved]:
    """See Inspection.transfer."""
    found: dict[TaskRef, Moved] = {}
    for name in dict.fromkeys(ref.queue for ref in refs):
        ids = list(dict.fromkeys(ref.id for ref in refs if ref.queue == name))
        route = Route(queue_keys(name), session.keys(target))
        while ids:
            answers = await _transfer(session, route, ids[:BATCH_SIZE])
            found |= {TaskRef(name, id): answer for id, answer in answers.items()}
            ids = [id for id in ids if id not in answers]
    return [found[ref] for ref in refs]


async def _transfer(session: Session, route: Route, ids: Sequence[str]) -> dict[str, Moved]:
    """Transfer the first of these tasks, at least one; returns an answer for each of them."""
    answers, candidates = await _inspect(session, route, ids)
    if missing := [id for id, answer in answers.items() if answer is Moved.NOT_FOUND]:
        # An earlier call may have been interrupted after the commit.
        copies = await _find_copies(session, route, missing)
        answers |= dict.fromkeys(await _resolve(session, route, copies), Moved.DONE)
    if route.source.name == route.target.name:
        return answers | dict.fromkeys(candidates, Moved.WRONG_STATE)
    if not candidates:
        return answers
    rejected = _rejected(await _in(session, route, "inspect", candidates))
    answers |= rejected
    transfer_id = secrets.token_hex(8)
    wanted = dict.fromkeys((id for id in candidates if id not in rejected), transfer_id)
    prepared: dict[str, bytes] = {}
    for id, row in (await _out(session, route, "prepare", wanted)).items():
        if row in (b"0", b"2"):  # the task has changed since it was inspected
            answers[id] = Moved.NOT_FOUND if row == b"0" else Moved.WRONG_STATE
        else:
            prepared[id] = _copy(route, row, transfer_id)
    if not prepared:
        return answers
    await session.registry.register([route.target.name])
    rejected = await _prepare_copies(session, route, prepared)
    answers |= rejected
    await _out(session, route, "rollback", dict.fromkeys(rejected, transfer_id))
    transfers = dict.fromkeys((id for id in prepared if id not in rejected), transfer_id)
    return answers | await _commit(session, route, transfers)


async def _inspect(
    session: Session, route: Route, ids: Sequence[str]
) -> tuple[dict[str, Moved], dict[str, bytes]]:
    """Answers that are known at once, and the arguments to inspect the others in the target queue."""
    answers: dict[str, Moved] = {}
    candidates: dict[str, bytes] = {}
    for id, row in (await _out(session, route, "inspect", dict.fromkeys(ids, ""))).items():
        if row in (b"0", b"2"):
            answers[id] = Moved.NOT_FOUND if row == b"0" else Moved.WRONG_STATE
            continue
        _, msg, lock = row
        try:
            message = decode_stored(route.source, id.encode(), msg)
        except CorruptMessage:
            answers[id] = Moved.WRONG_STATE
            continue
        candidates[id] = pack(in_queue(message, route.target.name).unique_key if lock else "")
    return answers, candidates


def _copy(route: Route, row: Sequence[bytes], transfer_id: str) -> bytes:
    """The arguments to store a prepared task in the target queue."""
    _, state, score, ttl, *flat = row
    hash = dict(zip(flat[::2], flat[1::2], strict=True))
    after = in_queue(decode_task(hash[b"msg"]), route.target.name)
    hash[b"msg"] = encode_task(after)
    if b"unique_key" in hash:
        hash[b"unique_key"] = after.unique_key.encode()
    lock = after.unique_key if ttl else ""
    return pack(transfer_id, lock, ttl, state, score, *(item for pair in hash.items() for item in pair))


async def _prepare_copies(session: Session, route: Route, prepared: Mapping[str, bytes]) -> dict[str, Moved]:
    """Store the copies; return those that the target rejects. Copies of earlier transfers are resolved first."""
    answers = await _in(session, route, "prepare", prepared)
    if earlier := _transfer_ids(answers):
        await _resolve(session, route, earlier)
        answers |= await _in(session, route, "prepare", {id: prepared[id] for id in earlier})
    # What is left belongs to a later transfer, which took the task over from this one.
    return _rejected(answers) | dict.fromkeys(_transfer_ids(answers), Moved.WRONG_STATE)


async def _commit(session: Session, route: Route, transfers: Mapping[str, str]) -> dict[str, Moved]:
    """The copies are stored: delete the tasks in the source queue, and make the copies tasks."""
    committed = await _out(session, route, "commit", transfers)
    late = {id: transfers[id] for id, answer in committed.items() if answer != b"1"}
    await _in(session, route, "discard", _packed(late))  # another transfer took over, or finished before
    await _commit_copies(session, route, {id: own for id, own in transfers.items() if id not in late})
    found = {id: Moved.NOT_FOUND if committed[id] == b"0" else Moved.WRONG_STATE for id in late}
    return dict.fromkeys(transfers, Moved.DONE) | found


async def _commit_copies(session: Session, route: Route, transfers: Mapping[str, str]) -> None:
    await _in(session, route, "commit", _packed(transfers))
    await _out(session, route, "finish", transfers)


# --- interrupted transfers ------------------------------------------------------------------------


async def _find_copies(session: Session, route: Route, ids: Sequence[str]) -> dict[str, str]:
    """Those that have a copy in the target queue, and its transfer id."""
    return _transfer_ids(await _in(session, route, "find", dict.fromkeys(ids, b"")))


async def _resolve(session: Session, route: Route, transfers: Mapping[str, str]) -> list[str]:
    """Commit the copies whose transfer the source has committed, and discard those it never will.

    Returns the ids of committed copies. If the source queue has been removed, its decision is lost: commit the
    copies.
    """
    if not transfers:
        return []
    known = await session.registry.contains(route.source.name)
    committed = await _out(session, route, "check", transfers) if known else dict.fromkeys(transfers, b"1")
    done = {id: own for id, own in transfers.items() if committed[id] == b"1"}
    discarded = {id: transfers[id] for id in transfers if committed[id] == b"0"}
    await _in(session, route, "discard", _packed(discarded))
    await _commit_copies(session, route, done)
    return list(done)


async def resume(session: Session, queue: QueueKeys) -> None:
    """Complete interrupted transfers from or to this queue."""
    before = math.floor(session.clock.now() - INTERRUPTED_AFTER)
    found = await session.redis.command(
        queue.moving, "ZRANGEBYSCORE", queue.moving, "-inf", before, "LIMIT", 0, 100
    )
    for id in map(decode_lossy, found):
        state = await _read_transfer(session, queue, id)
        if state is None:
            await session.redis.command(queue.moving, "ZREM", queue.moving, id)
            continue
        direction, other = state[0], decode_lossy(state[1])
        source, target = (queue.name, other) if direction == b"out" else (other, queue.name)
        original = await _read_transfer(session, queue_keys(source), id)
        if original is not None and original[0] == b"out" and decode_lossy(original[1]) == target:
            await transfer(session, [TaskRef(source, id)], target)
        elif direction == b"in":
            await _resolve(session, Route(queue_keys(source), queue), {id: state[-1].decode()})


async def _read_transfer(session: Session, queue: QueueKeys, id: str) -> list[bytes] | None:
    packed = await session.redis.command(queue.moving, "HGET", queue.task(id), "asynqio:moving")
    return None if packed is None else unpack(packed)


# --- calls ----------------------------------------------------------------------------------------


def _rejected(answers: Mapping[str, bytes]) -> dict[str, Moved]:
    return {id: _REJECTED[answer] for id, answer in answers.items() if answer in _REJECTED}


def _transfer_ids(answers: Mapping[str, bytes]) -> dict[str, str]:
    return {id: answer[1:].decode() for id, answer in answers.items() if answer.startswith(b"3")}


def _packed(transfers: Mapping[str, str]) -> dict[str, bytes]:
    return {id: pack(transfer_id) for id, transfer_id in transfers.items()}


async def _out(session: Session, route: Route, step: str, transfers: Mapping[str, str]) -> dict[str, Any]:
    """Run a step in the source queue. `inspect` and `prepare` answer for the first tasks only if these are large."""
    if not transfers:
        return {}
    source = route.source
    keys = [source.moving, source.left, *(source.task(id) for id in transfers)]
    args: list[Arg] = [step, source.prefix, repr(session.clock.now()), route.target.name]
    args.append(session.archive_cutoff())
    for pair in transfers.items():
        args += pair
    reply = await session.run_idempotent(LUA.transfer_out, keys, args)
    return dict(zip(transfers, reply, strict=False))


async def _in(session: Session, route: Route, step: str, given: Mapping[str, bytes]) -> dict[str, bytes]:
    """Run a step in the target queue."""
    if not given:
        return {}
    target = route.target
    keys = [target.moving, target.archived, target.groups, target.known_groups]
    keys += (target.task(id) for id in given)
    args: list[Arg] = [step, target.prefix, repr(session.clock.now()), session.now_ns(), route.source.name]
    args += (session.archive_limit, session.archive_cutoff())
    for pair in given.items():
        args += pair
    return dict(zip(given, await session.run_idempotent(LUA.transfer_in, keys, args), strict=True))
