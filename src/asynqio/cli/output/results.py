"""Acting on several things one by one: what became of each, in lines, in JSON, and as one exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from asynqio import AsynqioError, NotFound, WrongState
from asynqio.cli.output.terminal import clean, show

#: Exit statuses (see main.py).
FAILED, TIMED_OUT, NOT_FOUND, IN_PART = 1, 3, 4, 6


class Outcome(NamedTuple):
    """What became of one thing: `said` is for people, `code` for scripts."""

    name: str
    done: bool
    code: str
    said: str

    @classmethod
    def of(cls, name: str, error: AsynqioError) -> Outcome:
        """It did not work."""
        match error:
            case NotFound():
                code = "not_found"
            case WrongState():
                code = "wrong_state"
            case _:
                code = "failed"
        return cls(name, False, code, str(error))


def report(what: str, outcomes: Sequence[Outcome], *, as_json: bool, quiet: bool = False) -> int:
    """Print them; the exit status. `what` names the things in JSON; `quiet`: only what was not done."""

    def people() -> None:
        for outcome in outcomes:
            if outcome.done and not quiet:
                print(clean(outcome.said))

    show(
        [{what: one.name, "done": one.done, "outcome": one.code} for one in outcomes], people, as_json=as_json
    )
    for outcome in outcomes:
        if not outcome.done:
            print(f"asynqio: {clean(outcome.said)}", file=sys.stderr)
    bad = [outcome for outcome in outcomes if not outcome.done]
    if not bad:
        return 0
    if len(bad) < len(outcomes):
        return IN_PART
    return NOT_FOUND if all(outcome.code == "not_found" for outcome in bad) else FAILED
