"""Results of actions on several items: text, JSON and one exit status for all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from asynqio import AsynqioError, NotFound, WrongState
from asynqio.cli.exit_status import FAILED, NOT_FOUND, PARTIAL
from asynqio.cli.output.json import show
from asynqio.cli.output.terminal import clean


class Outcome(NamedTuple):
    """The result for one item: `code` is stable and for scripts, `message` for people."""

    name: str
    done: bool
    code: str
    message: str

    @classmethod
    def failed(cls, name: str, error: AsynqioError) -> Outcome:
        """The outcome of an action that raised `error`."""
        match error:
            case NotFound():
                code = "not_found"
            case WrongState():
                code = "wrong_state"
            case _:
                code = "failed"
        return cls(name, False, code, str(error))


def report(item: str, outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    """Print the outcomes and return the exit status. `item` is the JSON field that holds the name."""

    def print_text() -> None:
        for outcome in outcomes:
            if outcome.done:
                print(clean(outcome.message))

    data = [{item: outcome.name, "done": outcome.done, "outcome": outcome.code} for outcome in outcomes]
    show(data, print_text, as_json=as_json)
    return report_failures(outcomes)


def report_failures(outcomes: Sequence[Outcome]) -> int:
    """Print those that failed to standard error and return the exit status."""
    failed = [outcome for outcome in outcomes if not outcome.done]
    for outcome in failed:
        print(f"asynqio: {clean(outcome.message)}", file=sys.stderr)
    if not failed:
        return 0
    if len(failed) < len(outcomes):
        return PARTIAL
    return NOT_FOUND if all(outcome.code == "not_found" for outcome in failed) else FAILED
