"""One operation: the types of its arguments and of its answer, and the functions that encode and decode them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from asynqio.brokers.remote.wire.errors import WireError

_encode = msgspec.msgpack.Encoder().encode


class Parameter(NamedTuple):
    """An argument: its name in the contract, its type on the wire, and how it becomes that and is read again."""

    name: str
    type: Any
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None


class Answer(NamedTuple):
    """An answer, described like an argument."""

    type: Any
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None


class Operation:
    """A method of the contract that takes messages instead of calls.

    `repeatable`: a call whose answer was lost may be sent again; it does no harm, and the answer is as good.
    `progress`: it takes a callback, which is called by messages. `value_errors`: it raises ValueError for a wrong
    argument. `result`: makes the answer of the call's arguments, which the store changed, and of what it returned.
    """

    def __init__(
        self,
        name: str,
        answer: Answer | Any,
        *parameters: Parameter,
        repeatable: bool = False,
        progress: bool = False,
        value_errors: bool = False,
        result: Callable[[dict[str, Any], Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.answer = answer if isinstance(answer, Answer) else Answer(answer)
        self.repeatable = repeatable
        self.progress = progress
        self.value_errors = value_errors
        self._result = result
        fields = [("call", int), ("operation", str), *((one.name, one.type) for one in parameters)]
        request = msgspec.defstruct(name, fields, array_like=True, frozen=True, forbid_unknown_fields=True)
        self._request: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(request)
        reply = msgspec.defstruct(
            f"{name}_answer",
            [("id", int), ("answer", self.answer.type | None), ("error", WireError | None, None)],
            array_like=True,
            frozen=True,
        )
        self._reply: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(reply)
        self._packs = [one.pack for one in parameters]

    # --- the client's side ------------------------------------------------------------------------

    def encode_request(self, id: int, arguments: Sequence[Any]) -> bytes:
        """The message of a call. Raises TypeError, ValueError, OverflowError for values that have no form."""
        packed = [
            argument if pack is None else pack(argument)
            for pack, argument in zip(self._packs, arguments, strict=True)
        ]
        return _encode([id, self.name, *packed])

    def decode_reply(self, message: msgspec.Raw) -> Any:
        """The answer in a message. Raises the error in it; MsgspecError if it is malformed."""
        reply = self._reply.decode(message)
        if reply.error is not None:
            raise reply.error.as_exception()
        return reply.answer if self.answer.unpack is None else self.answer.unpack(reply.answer)

    # --- the gateway's side -----------------------------------------------------------------------

    def decode_request(self, message: msgspec.Raw) -> dict[str, Any]:
        """The arguments of a call by name. Raises MsgspecError whose text names the argument that is malformed."""
        try:
            request = self._request.decode(message)
            return {
                one.name: getattr(request, one.name)
                if one.unpack is None
                else one.unpack(getattr(request, one.name))
                for one in self.parameters
            }
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(self._named(str(error))) from None

    def encode_reply(self, id: int, answer: Any) -> bytes:
        """The message of an answer."""
        return _encode([id, answer if self.answer.pack is None else self.answer.pack(answer)])

    async def call(self, target: object, arguments: dict[str, Any]) -> Any:
        """Call the method of `target`."""
        answer = await getattr(target, self.name)(**arguments)
        return answer if self._result is None else self._result(arguments, answer)

    def _named(self, text: str) -> str:
        """The text of a decoding error with names instead of positions: `$[2][0].id` becomes `entries[0].id`."""
        for at, one in enumerate(self.parameters, 2):
            text = text.replace(f"`$[{at}]", f"`{one.name}")
        return text


def encode_error(id: int, error: WireError) -> bytes:
    """The message of an error that ends a call."""
    return _encode([id, None, error])


def encode_notice(kind: str, *values: Any) -> bytes:
    """A message that is no call and no answer; its id is 0."""
    return _encode([0, kind, *values])
