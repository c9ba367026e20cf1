"""Tracebacks are those of the traceback module, and the frames of a place are formatted once."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator

import pytest

from asynqio.core.lifecycle import Failed
from asynqio.runtime.attempts import tracebacks
from asynqio.runtime.attempts.failure_log import log_failure
from asynqio.runtime.attempts.tracebacks import PLACES, format_exception, trace_of
from tests.builders import lease, settlement

NOW = 1_700_000_100.0


def raise_cause() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        raise RuntimeError("no settings") from error


def raise_context() -> None:
    try:
        json.loads("{")
    except ValueError:
        json.loads("{}")["settings"]


def raise_suppressed() -> None:
    try:
        json.loads("{")
    except ValueError:
        raise RuntimeError("no settings") from None


def raise_notes() -> None:
    error = OSError(28, "No space left on device")
    error.add_note("while writing\nthe report")
    raise error


def raise_group() -> None:
    errors: list[Exception] = []
    for call in (raise_cause, raise_notes):
        try:
            call()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", [*errors, ExceptionGroup("nested", [ValueError("no traceback")])])


def raise_syntax_error() -> None:
    compile("def f(:\n    pass", "settings.py", "exec")


def raise_name_error() -> None:
    settings: dict[str, str] = {}
    print(setings)  # type: ignore[name-defined] # noqa: F821
    print(settings)


def raise_cycle() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def recurse() -> None:
    recurse()


def raise_multiline() -> None:
    raise ValueError(
        'first line\n  File "x.py", line 3\nlast line',
    )


class NestedError(Exception):
    """An exception whose name has a module."""

    class Inner(Exception):
        """An exception with a qualified name."""


def raise_own() -> None:
    raise NestedError("own")


def raise_inner() -> None:
    raise NestedError.Inner


class WithoutText(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise ValueError("no text")


def raise_without_text() -> None:
    raise WithoutText


def raise_exit() -> None:
    try:
        raise SystemExit(3)
    except SystemExit as error:
        raise KeyError("settings") from error


def raise_attribute_error() -> None:
    json.dump_s  # type: ignore[attr-defined] # noqa: B018


def no_traceback() -> Exception:
    return ValueError("never raised")


CALLS: list[Callable[[], object]] = [
    raise_cause,
    raise_context,
    raise_suppressed,
    raise_notes,
    raise_group,
    raise_syntax_error,
    raise_name_error,
    raise_cycle,
    recurse,
    raise_multiline,
    raise_own,
    raise_inner,
    raise_without_text,
    raise_exit,
    raise_attribute_error,
    no_traceback,
]


def error_of(call: Callable[[], object]) -> BaseException:
    try:
        answer = call()
    except Exception as error:
        return error
    assert isinstance(answer, BaseException)
    return answer


@pytest.mark.parametrize("call", CALLS)
def test_the_text_is_that_of_the_traceback_module(call: Callable[[], object]) -> None:
    for _ in range(2):
        error = error_of(call)
        assert format_exception(error) == "".join(traceback.format_exception(error))


def test_two_errors_of_one_line_have_their_own_place() -> None:
    def divide(one: int, other: int) -> float:
        return 1 / one + 1 / other

    texts = {format_exception(error_of(lambda pair=pair: divide(*pair))) for pair in ((0, 1), (1, 0))}  # type: ignore[misc]
    assert len(texts) == 2


@pytest.fixture
def formatted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The tracebacks whose frames are formatted; no place is known at first."""
    monkeypatch.setattr(tracebacks, "_places", type(tracebacks._places)())
    seen: list[object] = []
    format_tb = traceback.format_tb

    def counting(trace: object) -> list[str]:
        seen.append(trace)
        return format_tb(trace)  # type: ignore[arg-type]

    monkeypatch.setattr(traceback, "format_tb", counting)
    return seen


def test_the_frames_of_a_place_are_formatted_once(formatted: list[object]) -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    texts = [trace_of(error_of(lambda: fail(number))) for number in range(10)]  # noqa: B023
    assert len(formatted) == 1
    assert [text.splitlines()[-1] for text in texts] == [f"ValueError: {number}" for number in range(10)]


def test_a_bounded_number_of_places_is_kept(formatted: list[object]) -> None:
    for number in range(PLACES + 50):
        space: dict[str, Callable[[], None]] = {}
        exec(compile(f"def fail(): raise ValueError({number})", f"made-{number}.py", "exec"), space)
        assert f"made-{number}.py" in trace_of(error_of(space["fail"]))
    assert len(formatted) == PLACES + 50
    assert len(tracebacks._places) == PLACES


# --- the log --------------------------------------------------------------------------------------


class Brief(logging.Formatter):
    """A formatter of a user."""

    def formatException(self, ei: object) -> str:
        return "brief"


@pytest.fixture
def stream() -> Iterator[tuple[logging.Handler, io.StringIO]]:
    log, stream = logging.getLogger("asynqio"), io.StringIO()
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    yield handler, stream
    log.removeHandler(handler)


def log_error(error: BaseException) -> None:
    outcome = Failed(error)
    log_failure(outcome, settlement(lease("a"), outcome, NOW), NOW, trace_of(error))


def test_a_failure_is_logged_with_the_known_text(
    stream: tuple[logging.Handler, io.StringIO], formatted: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, written = stream
    error = error_of(raise_notes)
    plain = "".join(traceback.format_exception(error))
    # The logging module would call this.
    monkeypatch.setattr(traceback, "print_exception", None)
    log_error(error)
    assert written.getvalue().endswith(plain)


def test_a_formatter_of_a_user_formats_the_exception_itself(
    stream: tuple[logging.Handler, io.StringIO],
) -> None:
    handler, written = stream
    handler.setFormatter(Brief())
    log_error(error_of(raise_notes))
    assert written.getvalue().splitlines()[1:] == ["brief"]
