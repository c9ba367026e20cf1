"""`asynqio doctor`."""

from __future__ import annotations

from asynqio import Finding, Inspector, Severity
from asynqio.cli.output import terminal

_WORDS = {Severity.ERROR: "ERROR", Severity.WARNING: "warning", Severity.INFO: "info"}


def examine(broker: str | None, *, fix: bool, as_json: bool) -> int:
    """Print what is found; the exit status: 1 if there is an error that was not repaired."""
    found: list[Finding] = terminal.run(_examine(broker, fix=fix))
    terminal.show(found, lambda: _print(found), as_json=as_json)
    return int(any(one.severity is Severity.ERROR and not one.fixed for one in found))


async def _examine(broker: str | None, *, fix: bool) -> list[Finding]:
    async with Inspector(broker) as inspector:
        with terminal.progress("tasks and keys") as progress:
            return await inspector.doctor(fix=fix, on_progress=progress)


def _print(found: list[Finding]) -> None:
    for one in found:
        state = "  (repaired)" if one.fixed else ""
        print(f"{_WORDS[one.severity]:<8} {one.code}: {terminal.clean(one.sentence)}{state}")
        if not one.fixed:
            print(f"{'':<8} -> {terminal.clean(one.advice)}")
    if not found:
        print("nothing is wrong")
