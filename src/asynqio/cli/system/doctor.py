"""Finds and repairs problems: `asynqio doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio import Finding, Inspector, Severity
from asynqio.cli.event_loop import run
from asynqio.cli.exit_status import FAILED
from asynqio.cli.output.json import show
from asynqio.cli.output.terminal import clean, progress

_LABELS = {Severity.ERROR: "ERROR", Severity.WARNING: "warning", Severity.INFO: "info"}


def examine(broker: str | None, *, fix: bool, as_json: bool) -> int:
    """Print the findings. Returns the exit status: FAILED if an error was not repaired."""
    findings = run(_examine(broker, fix=fix))
    show(findings, lambda: _print(findings), as_json=as_json)
    errors = [one for one in findings if one.severity is Severity.ERROR and not one.fixed]
    return FAILED if errors else 0


async def _examine(broker: str | None, *, fix: bool) -> Sequence[Finding]:
    async with Inspector(broker) as inspector:
        with progress("tasks and keys") as update:
            return await inspector.doctor(fix=fix, on_progress=update)


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        fixed = "  (repaired)" if finding.fixed else ""
        print(f"{_LABELS[finding.severity]:<8} {finding.code}: {clean(finding.sentence)}{fixed}")
        if not finding.fixed:
            print(f"{'':<8} -> {clean(finding.advice)}")
    if not findings:
        print("no problems found")
