"""Findings of the doctor: plain values, made by brokers and by `asynqio.inspector.doctor`."""

from __future__ import annotations

import enum

import msgspec


class Severity(enum.StrEnum):
    """The severity of a finding."""

    #: Tasks are lost or stuck, or will be.
    ERROR = "error"
    #: Works now, but will fail later, or behaves unexpectedly.
    WARNING = "warning"
    #: For information.
    INFO = "info"


class Finding(msgspec.Struct, frozen=True):
    """One finding."""

    severity: Severity
    #: A stable identifier: lower case, with hyphens.
    code: str
    #: The problem, and how to solve it.
    sentence: str
    advice: str
    #: The affected queue; empty if the finding is about the store or a server.
    queue: str = ""
    #: Whether it can be repaired without a decision of the user, and whether it was.
    fixable: bool = False
    fixed: bool = False


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Sort by severity, then queue, then code."""
    order = list(Severity)
    return sorted(findings, key=lambda one: (order.index(one.severity), one.queue, one.code, one.sentence))
