"""The tree drawn in the docstring is the tree of classes; every error is one sentence with facts."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import Any

import pytest

from asynqio import directives, errors

CLASSES: dict[str, Any] = {
    name: thing
    for name, thing in vars(errors).items()
    if inspect.isclass(thing) and thing.__module__ in {errors.__name__, directives.__name__}
}
BUILTIN = {
    "ValueError": ValueError,
    "TypeError": TypeError,
    "LookupError": LookupError,
    "TimeoutError": TimeoutError,
}


def drawn() -> dict[str, tuple[str, set[str]]]:
    """Each class in the drawing, with the one it hangs from and those it also is."""
    tree: dict[str, tuple[str, set[str]]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:│  |   )*)(├─ |└─ )?([A-Z]\w+)", line)
        if not found:
            continue
        depth = len(found[1]) // 3 + (1 if found[2] else 0)
        also = re.search(r"\(also (\w+)\)", line)
        above[depth:] = [found[3]]
        tree[found[3]] = (above[depth - 1] if depth else "", {also[1]} if also else set())
    return tree


def test_the_drawing_shows_every_class_and_no_other() -> None:
    assert set(drawn()) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_hangs_where_it_is_drawn(name: str) -> None:
    parent, also = drawn()[name]
    expected = {CLASSES[parent] if parent else Exception} | {BUILTIN[other] for other in also}
    assert set(CLASSES[name].__bases__) == expected


ARGUMENTS: dict[str, Any] = {
    "what": "queue",
    "value": " ",
    "reason": "must not be blank",
    "option": "max_retry",
    "first": "process_at",
    "second": "process_in",
    "advice": "say one of them",
    "type": "email:send",
    "size": 2_000_000,
    "limit": 1_048_576,
    "queue": "default",
    "id": "17",
    "timeout": 5.0,
    "state": "pending",
    "error": "ValueError: no",
    "seconds": 1.5,
    "how": "signal 9",
    "spec": "61 * * * *",
    "problems": ["one is wrong", "two is wrong"],
    "initializer": "shop.tasks.load_model",
    "action": "task:enqueue",
    "retry_after": 8.0,
}


def one_of_each() -> list[Exception]:
    """An error of every class, made with the arguments that its constructor must have."""
    made: list[Exception] = []
    for kind in CLASSES.values():
        if "__init__" in vars(kind):
            needed = inspect.signature(kind).parameters.values()
            made.append(kind(*(ARGUMENTS[p.name] for p in needed if p.default is p.empty)))
        else:
            made.append(kind("queue 'default' is not empty"))
    return made


@pytest.mark.parametrize("error", one_of_each(), ids=lambda error: type(error).__name__)
def test_an_error_is_one_sentence_without_line_breaks_and_full_stop(error: Exception) -> None:
    text = str(error)
    assert len(text) > 10
    assert "\n" not in text
    assert not text.endswith(".")
    assert " " in text


@pytest.mark.parametrize("error", one_of_each(), ids=lambda error: type(error).__name__)
def test_the_facts_of_an_error_are_attributes_and_its_names_are_in_its_text(error: Exception) -> None:
    facts = vars(error)
    for name in ("queue", "type", "id", "option", "spec"):
        if name in facts:
            assert str(facts[name]) in str(error) or isinstance(error, errors.ResultNotKept)
    if "__init__" in vars(type(error)) and not isinstance(error, errors.TaskCancelled | errors.LeaseExpired):
        assert facts


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_that_is_not_obvious_says_what_it_is_for(name: str) -> None:
    kind = CLASSES[name]
    assert kind.__doc__ or "__init__" in vars(kind)


def test_what_can_be_tried_again_is_told_from_what_cannot() -> None:
    assert issubclass(errors.StorageFull, errors.BrokerUnavailable)
    assert not issubclass(errors.CorruptMessage, errors.BrokerUnavailable)
    assert not issubclass(errors.VersionMismatch, errors.BrokerUnavailable)


def test_a_directive_is_not_an_error() -> None:
    assert not issubclass(errors.Directive, errors.AsynqioError)


@pytest.mark.parametrize(("delay", "seconds"), [(0, 0.0), (5, 5.0), (0.5, 0.5), (timedelta(minutes=1), 60.0)])
def test_retry_in_takes_seconds_or_a_timedelta(delay: float | timedelta, seconds: float) -> None:
    directive = errors.RetryIn(delay)
    assert directive.seconds == seconds
    assert str(directive) == f"asked to run again in {seconds:g} s"
    assert str(errors.RetryIn(delay, "the shop is closed")) == "the shop is closed"


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_retry_in_refuses_what_is_no_time_from_now(delay: float | timedelta) -> None:
    with pytest.raises(ValueError, match="give a number of seconds, 0 or more"):
        errors.RetryIn(delay)


def test_a_configuration_error_lists_every_problem() -> None:
    error = errors.ConfigError(["one is wrong", "two is wrong"])
    assert error.problems == ("one is wrong", "two is wrong")
    assert str(error) == "one is wrong; two is wrong"
