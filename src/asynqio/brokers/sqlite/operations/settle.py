"""Tasks out, and what becomes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.limits import STATS_AGE
from asynqio.brokers.contract.results import Output
from asynqio.brokers.sqlite.storage.rows import encode, sound, trim
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.attempts.record import RUNS_KEPT
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique_locks import freed_by

DAY = 86_400


def dequeue(
    transaction: Transaction, queues: Sequence[str], limit: int, lease: float, owner: str
) -> list[Lease]:
    expires_at = transaction.now + lease
    leases: list[Lease] = []
    for queue in queues:
        # Again when something was put into quarantine: its place is free for the next in line.
        while (wanted := limit - len(leases)) > 0:
            rows = transaction.all(SQL.next_pending, queue=queue, limit=wanted)
            tasks = list(sound(transaction, rows))
            if tasks:
                [token] = transaction.numbers(1)
                leased = transaction.run(
                    SQL.lease_pending,
                    queue=queue,
                    last=tasks[-1][0][5],
                    expires_at=expires_at,
                    token=token,
                    owner=owner,
                ).rowcount
                transaction.run(SQL.tally_pending, queue=queue, count=-leased)
                for row, task in tasks:
                    if row[3] and freed_by(task, TaskState.ACTIVE):
                        transaction.run(SQL.unlock, queue=queue, key=row[3], id=row[2]).fetchall()
                leases += [Lease(task, expires_at, (row[0], token), row[6]) for row, task in tasks]
                transaction.changed += [task for _, task in tasks]
            if len(tasks) == len(rows):
                break
    return leases


def hand_back(transaction: Transaction, leases: Sequence[Lease]) -> None:
    """Tasks that nobody got to know of are pending again, in their old order at the front.

    Left alone they would wait for their leases to lapse, and that counts as a failure.
    """
    settle(transaction, [Settlement(lease, TaskState.PENDING, lease.message) for lease in reversed(leases)])


def renew(transaction: Transaction, leases: Sequence[Lease], lease: float) -> list[float | None]:
    """The new expiry of each lease that is still held."""
    expires_at = transaction.now + lease
    renewed: list[float | None] = []
    for held in leases:
        found = transaction.run(SQL.renew, **_fence(held), expires_at=expires_at).rowcount
        renewed.append(expires_at if found else None)
    return renewed


def renew_owner(transaction: Transaction, owner: str, lease: float) -> int:
    return transaction.run(SQL.renew_owner, owner=owner, expires_at=transaction.now + lease).rowcount


def settle(transaction: Transaction, settlements: Sequence[Settlement]) -> list[bool]:
    if len({settlement.lease.token for settlement in settlements}) < len(settlements):
        # Whoever settles one lease twice is refused the second time: one after the other then.
        return [settle(transaction, [settlement])[0] for settlement in settlements]
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    archived: dict[str, float] = {}
    recorded: list[Settlement] = []
    answers: list[bool] = []
    staying = sum(settlement.to is not None for settlement in settlements)
    numbers = iter(transaction.numbers(staying) if staying else ())
    finished = _finish(transaction, [item.lease for item in settlements if item.to is None])
    for settlement in settlements:
        message = settlement.message
        queue, to = message.queue, settlement.to
        if to is None:
            held = settlement.lease.token in finished
        else:
            held = bool(_restate(transaction, settlement, next(numbers)))
        answers.append(held)
        if not held:
            continue
        if settlement.record is not None and to is not None:
            recorded.append(settlement)
        if settlement.processed:
            counted = counts[queue]
            counted[0] += 1
            counted[1] += settlement.failed
        if message.unique_key and freed_by(message, to):
            transaction.run(SQL.unlock, queue=queue, key=message.unique_key, id=message.id).fetchall()
        if to is TaskState.PENDING:
            transaction.topics.add(signals.pending(queue))
            transaction.changed.append(message)
        elif to is TaskState.RETRY:
            transaction.topics.add(signals.due(queue))
            transaction.changed.append(message)
        else:
            transaction.ended.append(message.ref)
            if to is TaskState.ARCHIVED:
                archived[queue] = max(archived.get(queue, settlement.at), settlement.at)
    if recorded:
        _keep(transaction, recorded)
    for queue, (processed, failed) in counts.items():
        _count(transaction, queue, processed, failed)
    for queue, at in archived.items():
        trim(transaction, queue, at)
    return answers


def _finish(transaction: Transaction, leases: Sequence[Lease]) -> set[Hashable]:
    """Delete the tasks of these leases; the tokens of those that were still held.

    Tasks of one dequeue share its number, so each such batch goes with two statements. Measured at 50 slots:
    1.3 times the throughput of one statement per task.
    """
    wanted: defaultdict[int, dict[int, Lease]] = defaultdict(dict)
    for lease in leases:
        fence = _fence(lease)
        wanted[int(fence["token"])][int(fence["key"])] = lease
    finished: set[Hashable] = set()
    for token, by_key in wanted.items():
        rows = transaction.all(SQL.held, token=token, keys=_list(by_key))
        held = [
            key
            for key, queue, id in rows
            if (queue, id) == (by_key[key].message.queue, by_key[key].message.id)
        ]
        transaction.run(SQL.finish, token=token, keys=_list(held))
        finished.update(by_key[key].token for key in held)
    return finished


def _list(keys: Iterable[int]) -> str:
    """Keys for `json_each`."""
    return f"[{','.join(map(str, keys))}]"


def _restate(transaction: Transaction, settlement: Settlement, number: int) -> int:
    """Put a leased task into its new state; 0 if the lease is lost."""
    fence = _fence(settlement.lease)
    ran = settlement.record is not None
    state, at, since, seq = settlement.to, settlement.at, 0.0, number
    if state is TaskState.PENDING:
        # Fresh numbers grow, so their negatives are ever further at the front.
        at, since, seq = 0.0, transaction.now, -number
        if settlement.message is settlement.lease.message:
            return transaction.run(
                SQL.hand_back, **fence, seq=seq, since=since, result=settlement.result, ran=ran
            ).rowcount
    return transaction.run(
        SQL.settle,
        **fence,
        state=state,
        at=at,
        seq=seq,
        since=since,
        unique_key=settlement.message.unique_key,
        message=encode(settlement.message),
        result=settlement.result,
        ran=ran,
    ).rowcount


def _keep(transaction: Transaction, ended: Sequence[Settlement]) -> None:
    """Put down the attempts of settlements that were just carried out."""
    keys = [int(_fence(settlement.lease)["key"]) for settlement in ended]
    transaction.connection.executemany(
        SQL.keep_attempt, [(encode(one.record), key) for one, key in zip(ended, keys, strict=True)]
    )
    transaction.run(SQL.drop_attempts, keys=_list(keys), kept=RUNS_KEPT)


def write_output(transaction: Transaction, notes: Sequence[Output]) -> list[bool]:
    answers = []
    for left in notes:
        kept = transaction.run(
            SQL.write_output,
            **_fence(left.lease),
            result=left.result,
            progress=left.progress,
            live=None if left.live is None else encode(left.live),
        )
        answers.append(bool(kept.rowcount))
        transaction.changed.append(left.lease.message)
    return answers


def _count(transaction: Transaction, queue: str, processed: int, failed: int) -> None:
    day = int(transaction.now // DAY)
    transaction.run(SQL.count_total, queue=queue, processed=processed, failed=failed)
    transaction.run(SQL.count_day, queue=queue, day=day, processed=processed, failed=failed)
    transaction.run(SQL.purge_days, queue=queue, day=day, kept=int(STATS_AGE // DAY))


def _fence(lease: Lease) -> dict[str, int | str]:
    """What picks the row of this lease, as long as it is held: the row, the dequeue, and whose it says it is."""
    match lease.token:
        case (int(key), int(token)) if token:
            return {"key": key, "token": token, "queue": lease.message.queue, "id": lease.message.id}
    return {"key": 0, "token": 0, "queue": "", "id": ""}
