"""Errors as messages: their class by its name, their arguments and attributes."""

from __future__ import annotations

from typing import Any

import msgspec

from asynqio import errors
from asynqio.errors import AsynqioError, BrokerRefused

#: The errors that may travel, by name.
CLASSES: dict[str, type[AsynqioError | ValueError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, AsynqioError)
}
CLASSES["ValueError"] = ValueError
#: Errors of a store, whose texts may contain addresses and paths of the gateway's machine. Those of their subclasses
#: that are not in this set are made to be shown.
PRIVATE = frozenset(
    {
        errors.AsynqioError,
        errors.BrokerError,
        errors.BrokerUnavailable,
        errors.BrokerRefused,
        errors.CannotStore,
        errors.CorruptMessage,
        errors.StorageFull,
        errors.StoreReplaced,
        errors.VersionMismatch,
        errors.WrongProcess,
    }
)


class WireError(msgspec.Struct, array_like=True, frozen=True):
    """An error."""

    kind: str
    args: list[Any]
    attributes: dict[str, Any] = {}

    def as_exception(self) -> AsynqioError | ValueError:
        """The same error; a class that this version does not know becomes BrokerRefused."""
        kind = CLASSES.get(self.kind, BrokerRefused)
        error = kind.__new__(kind)
        error.args = tuple(_plain(value) for value in self.args)
        error.__dict__.update({name: _plain(value) for name, value in self.attributes.items()})
        return error


def is_hidden(error: BaseException) -> bool:
    """Whether the text of an error is not for clients."""
    return _kind(error) in PRIVATE


def _kind(error: BaseException) -> type[BaseException]:
    """The class of an error that may travel: its own, or the nearest above it."""
    return next((kind for kind in type(error).__mro__ if CLASSES.get(kind.__name__) is kind), BrokerRefused)


def shown(error: BaseException, request: str) -> WireError:
    """An error for the client. `request` is the id under which the log of the gateway has the text that is not
    shown."""
    kind = _kind(error)
    if kind in PRIVATE:
        return hidden(kind, request)
    return WireError(kind.__name__, list(map(_plain, error.args)), _attributes(error))


#: What a client reads instead of the text of the store.
_INSTEAD: dict[type[BaseException], str] = {
    errors.StorageFull: "the store of the gateway is full and nothing was changed: free some space, then retry",
    errors.BrokerUnavailable: "the store of the gateway is unavailable: retry",
    errors.CannotStore: "the store of the gateway cannot hold the value: it is invalid or too large",
}


def hidden(kind: type[BaseException], request: str) -> WireError:
    """An error without its text."""
    text = _INSTEAD.get(kind, f"the gateway cannot do this ({kind.__name__}): see its log")
    return WireError(kind.__name__, [f"{text} (request {request})"])


def refused(text: str) -> WireError:
    """A request that is refused before it reaches the store."""
    return WireError(BrokerRefused.__name__, [text])


def _attributes(error: BaseException) -> dict[str, Any]:
    return {name: _plain(value) for name, value in error.__dict__.items() if not name.startswith("_")}


def _plain(value: Any) -> Any:
    """A value as it travels. Attributes of errors are plain, except values of the user, which are shown as text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return tuple(map(_plain, value))
    return repr(value)
