"""The table of operations: complete, and faithful to the values of the contract."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import msgspec
import pytest

from asynqio import errors
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.remote.wire import errors as wire_errors
from asynqio.brokers.remote.wire.frames import FRAME_BYTES, pack_frame, pack_frames, unpack_frame
from asynqio.brokers.remote.wire.operations import LOCAL, OF_SESSION, OF_STORE
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskState
from tests.builders import entry, message, settlement


def methods() -> set[str]:
    return {name for name in dir(Store) if not name.startswith("_")}


def test_every_method_of_the_contract_is_an_operation() -> None:
    missing = methods() - set(OF_STORE) - LOCAL
    assert not missing, f"add these to the table in wire/operations.py, or to LOCAL: {sorted(missing)}"
    assert set(OF_STORE) | LOCAL == methods()
    assert not set(OF_STORE) & (set(OF_SESSION) - {"watch"})


@pytest.mark.parametrize("name", OF_STORE)
def test_an_operation_has_the_parameters_of_its_method(name: str) -> None:
    parameters = list(inspect.signature(getattr(Store, name)).parameters)[1:]
    if OF_STORE[name].progress:
        parameters.remove("progress")
    assert [one.name for one in OF_STORE[name].parameters] == parameters


def sent(name: str, *arguments: Any) -> dict[str, Any]:
    """The arguments of a call, as the gateway receives them."""
    return OF_STORE[name].decode_request(msgspec.Raw(OF_STORE[name].encode_request(1, arguments)))


@pytest.mark.parametrize(
    "token", [0, 7, (3, 2**60), (b"host:1:abc/1f@17", b"\x00\xff"), "text", b"bytes", None, ("a", 1, b"")]
)
def test_lease_tokens_of_every_broker_stay_equal(token: Any) -> None:
    lease = Lease(message("a"), 5.0, token, 3.0)
    dequeue = OF_STORE["dequeue"]
    [back] = dequeue.decode_reply(msgspec.Raw(dequeue.encode_reply(1, [lease])))
    assert back == lease
    assert hash(back.token) == hash(token)
    [again] = sent("settle", [settlement(back)])["settlements"]
    assert again.lease.token == token
    [held] = sent("renew", [back], 5.0)["leases"]
    assert (held.token, held.message.ref) == (token, lease.message.ref)


def test_a_settlement_that_keeps_the_task_keeps_its_message() -> None:
    lease = Lease(message("a", payload=b"x", headers={"h": "1"}, group="g"), 5.0, 1)
    after = msgspec.structs.replace(lease.message, retried=3)
    one = Settlement(lease, TaskState.RETRY, after, 9.0, True, True, b"result")
    [back] = sent("settle", [one])["settlements"]
    assert msgspec.structs.replace(back, lease=lease) == one
    assert back.lease.message.ref == lease.message.ref


def test_an_unchanged_message_is_still_the_message_of_the_lease() -> None:
    lease = Lease(message("a", payload=b"x"), 5.0, 1)
    [back] = sent("settle", [Settlement(lease, TaskState.PENDING, lease.message)])["settlements"]
    assert back.message is back.lease.message
    assert back.message == lease.message


def test_a_lost_settlement_says_so() -> None:
    lease = Lease(message("a"), 5.0, 1, unconfirmed=True)
    [back] = sent("settle", [settlement(lease)])["settlements"]
    assert back.lease.unconfirmed


@pytest.mark.parametrize("token", [{"a": 1}, [["nested"]], 1.5, [True], [{}]])
def test_another_token_is_refused(token: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="token"):
        sent("renew", [Lease(message("a"), 0.0, token)], 1.0)


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["x"], "`entries`"),
        ([[{"message": {"id": 1, "type": "t"}}]], r"`entries\[0\].message.id`"),
        ([[{"message": {"id": "a"}}]], r"`entries\[0\].message`"),
        ([[{"message": {"id": "a", "type": "t"}, "state": "odd"}]], r"`entries\[0\].state`"),
    ],
)
def test_an_error_names_the_argument_and_the_field(arguments: list[Any], place: str) -> None:
    frame = msgspec.msgpack.encode([1, "enqueue", *arguments])
    with pytest.raises(msgspec.ValidationError, match=place):
        OF_STORE["enqueue"].decode_request(msgspec.Raw(frame))


def test_surplus_arguments_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        OF_STORE["ping"].decode_request(msgspec.Raw(msgspec.msgpack.encode([1, "ping", 1])))


# --- errors ---------------------------------------------------------------------------------------

ERRORS: list[Exception] = [
    errors.QueueNotFound("mails"),
    errors.TaskNotFound("mails", "a"),
    errors.WrongState("the queue has active tasks"),
    errors.InvalidName("queue", object, "is no text"),
    errors.ConflictingOptions("a", "b", "drop one"),
    errors.PayloadTooLarge("t", 5, 4),
    errors.InvalidName("queue", "", "is empty").within("task 'a'"),
    errors.AccessDenied("task:enqueue", "mails", None),
    errors.TooManyAttempts(3.5),
    errors.ConfigError(["one", "two"]),
    errors.InvalidFilter("odd"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_out_as_the_same_error(error: Exception) -> None:
    travelled = msgspec.msgpack.encode(wire_errors.shown(error, "request"))
    back = msgspec.msgpack.decode(travelled, type=wire_errors.WireError).as_exception()
    assert type(back) is type(error)
    assert str(back) == str(error)
    facts = {name: value for name, value in vars(error).items() if value is not object}
    assert vars(back) == {**vars(back), **facts}


@pytest.mark.parametrize(
    "kind",
    [
        errors.BrokerUnavailable,
        errors.StorageFull,
        errors.BrokerRefused,
        errors.CannotStore,
        errors.VersionMismatch,
        errors.StoreReplaced,
    ],
)
def test_texts_of_the_store_stay_in_the_gateway(kind: type[errors.BrokerError]) -> None:
    class Special(kind):  # type: ignore[misc, valid-type]
        """An error of one broker."""

    for error in (kind("the file /var/lib/secret.db is locked"), Special("redis://:password@10.0.0.1")):
        shown = wire_errors.shown(error, "4711").as_exception()
        assert type(shown) is kind
        assert "4711" in str(shown)
        assert "secret" not in str(shown)
        assert "password" not in str(shown)


def test_an_error_of_a_newer_version_is_a_refusal() -> None:
    error = wire_errors.WireError("FromTheFuture", ["a text"]).as_exception()
    assert type(error) is errors.BrokerRefused
    assert str(error) == "a text"


def test_no_class_outside_the_table_can_be_made() -> None:
    for name in ("SystemExit", "KeyboardInterrupt", "Sequence", "timedelta"):
        assert type(wire_errors.WireError(name, []).as_exception()) is errors.BrokerRefused


# --- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1_000])
def test_frames_hold_messages_in_order(count: int) -> None:
    messages = [msgspec.msgpack.encode([number, "ping"]) for number in range(count)]
    assert [bytes(one) for one in unpack_frame(pack_frame(messages))] == messages
    assert msgspec.msgpack.decode(pack_frame(messages)) == [[number, "ping"] for number in range(count)]


def test_many_messages_become_several_frames() -> None:
    large = msgspec.msgpack.encode(b"x" * (FRAME_BYTES // 2))
    messages = [b"\x01", large, large, b"\x02", *[b"\x03"] * 2_500]
    frames = list(pack_frames(messages))
    assert [bytes(one) for frame in frames for one in unpack_frame(frame)] == messages
    assert len(frames) == 4
    assert list(pack_frames([])) == []


def test_an_entry_takes_little_more_than_its_payload() -> None:
    data = OF_STORE["enqueue"].encode_request(1, ([entry("a" * 26, payload=b"x" * 100)],))
    assert len(data) < 100 + 250


def test_the_types_of_the_table_are_those_of_the_contract() -> None:
    """Answers that need no conversion are decoded into exactly what the protocol declares."""
    for name, operation in OF_STORE.items():
        if operation.answer.unpack is None and name != "renew":
            declared = typing.get_type_hints(getattr(Store, name))["return"]
            assert operation.answer.type == declared, name
