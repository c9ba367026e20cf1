"""What a look at a store finds to be wrong, in words: plain values, made by brokers and by the doctor."""

from __future__ import annotations

import enum

import msgspec


class Severity(enum.StrEnum):
    """How bad it is."""

    #: Tasks are lost, stuck, or will be: do something.
    ERROR = "error"
    #: It works, but it will not for long, or not as one may think.
    WARNING = "warning"
    #: Worth knowing.
    INFO = "info"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found."""

    severity: Severity
    #: What it is, for programs: lower case, with hyphens.
    code: str
    #: What is the case, and what to do about it.
    sentence: str
    advice: str
    #: The queue that it is about; empty: the store as a whole, or a server.
    queue: str = ""
    #: Whether it can be repaired without deciding anything for the user, and whether it was.
    fixable: bool = False
    fixed: bool = False


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Sorted for people: by severity, then queue, then code."""
    order = list(Severity)
    return sorted(findings, key=lambda one: (order.index(one.severity), one.queue, one.code, one.sentence))
