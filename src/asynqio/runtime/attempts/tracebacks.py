"""The traceback of an error, as text to be logged and to be kept with its attempt."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from types import CodeType, TracebackType
from typing import Any

from asynqio.errors import (
    Directive,
    HandlerNotFound,
    LeaseExpired,
    ProcessNotStarted,
    TaskCancelled,
    TaskTimeout,
    WorkerDied,
)

#: Errors whose text says everything, or whose traceback is ours and not the handler's.
WITHOUT_TRACEBACK = (
    Directive,
    HandlerNotFound,
    LeaseExpired,
    ProcessNotStarted,
    TaskCancelled,
    TaskTimeout,
    WorkerDied,
)
#: Places whose frames are kept formatted, and the most frames of one of them.
PLACES, MAX_FRAMES = 128, 200


def trace_of(error: BaseException) -> str:
    """The traceback, with causes and notes; empty for errors whose text says everything."""
    if isinstance(error, WITHOUT_TRACEBACK):
        return ""
    try:
        return format_exception(error)
    except Exception as broken:  # a user's exception class must not cost the settlement
        return f"(the traceback cannot be shown: {type(broken).__name__})"


def format_exception(error: BaseException) -> str:
    """The text of `traceback.format_exception`. Raises what an exception class raises.

    The frames of a place are formatted once: reading source lines and finding the marked part of each is most of the
    work, 15 µs per frame.
    """
    if _is_plain(error):
        return _format_plain(error)
    formatted = traceback.TracebackException(type(error), error, error.__traceback__, limit=0, compact=True)
    _fill(formatted, error)
    return "".join(formatted.format())


#: Exceptions that the traceback module shows with more than their type and text: members, source, suggestions.
_SHOWN_WITH_MORE = (BaseExceptionGroup, SyntaxError, NameError, AttributeError, ImportError)


def _is_plain(error: BaseException) -> bool:
    """Whether the traceback module shows frames, type and text of an exception, and nothing else."""
    return (
        error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and error.__traceback__ is not None
        and not isinstance(error, _SHOWN_WITH_MORE)
        and getattr(error, "__notes__", None) is None
    )


def _format_plain(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("__main__", "builtins"):
        name = f"{kind.__module__}.{name}"
    try:
        text = str(error)
    except Exception:
        text = "<exception str() failed>"  # as in the traceback module
    last = f"{name}: {text}" if text else name
    assert error.__traceback__ is not None
    return f"Traceback (most recent call last):\n{_frames_of(error.__traceback__)}{last}\n"


def _fill(formatted: traceback.TracebackException, error: BaseException) -> None:
    """Replace the empty stacks of an exception, its causes and its members."""
    waiting: list[tuple[traceback.TracebackException, BaseException]] = [(formatted, error)]
    while waiting:
        to, of = waiting.pop()
        if of.__traceback__ is not None:
            to.stack = _Frames([_frames_of(of.__traceback__)])  # type: ignore[list-item]
        if to.__cause__ is not None and of.__cause__ is not None:
            waiting.append((to.__cause__, of.__cause__))
        if to.__context__ is not None and of.__context__ is not None:
            waiting.append((to.__context__, of.__context__))
        if to.exceptions and isinstance(of, BaseExceptionGroup):
            waiting.extend(zip(to.exceptions, of.exceptions, strict=False))


class _Frames(traceback.StackSummary):
    """A stack that is formatted already."""

    def format(self, **options: Any) -> list[str]:
        return list(self)  # type: ignore[arg-type]


#: By the code and instruction of each frame: the text, and the code objects, so that their ids are not used again.
_places: OrderedDict[tuple[int, ...], tuple[str, list[CodeType]]] = OrderedDict()


def _frames_of(trace: TracebackType) -> str:
    """The text of `traceback.format_tb`."""
    place: list[int] = []
    codes: list[CodeType] = []
    step: TracebackType | None = trace
    while step is not None:
        code = step.tb_frame.f_code
        codes.append(code)
        place.append(id(code))
        place.append(step.tb_lasti)
        step = step.tb_next
    key = tuple(place)
    known = _places.get(key)
    if known is not None:
        return known[0]
    text = "".join(traceback.format_tb(trace))
    if len(codes) <= MAX_FRAMES:
        _places[key] = text, codes
        if len(_places) > PLACES:
            _places.popitem(last=False)
    return text
