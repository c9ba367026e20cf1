"""Grants, and the access of a principal that is made of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.patterns import matches, matches_everything, pattern_problem
from asynqio.errors import AccessDenied

#: Most decisions that an Access remembers, and the longest name that it remembers one for, in characters.
REMEMBERED, LONGEST_NAME = 4_096, 256


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Permits actions on the queues and task types whose names match one of the patterns, or denies them.

    `queues`, `types`: anchored globs with `*` and `?`; queues are named as their tenant names them, without prefix.
    `deny`: forbid the actions, whatever other grants permit. Raises ValueError for an invalid pattern.
    """

    actions: frozenset[Action]
    queues: tuple[str, ...] = ("*",)
    types: tuple[str, ...] = ("*",)
    deny: bool = False

    def __post_init__(self) -> None:
        for pattern in (*self.queues, *self.types):
            if problem := pattern_problem(pattern):
                raise ValueError(problem)


class Access:
    """What a principal may do: what one of its grants permits and none denies. Immutable, and safe in any thread.

    `everything`: every action on tasks, queues, schedules and servers is permitted on every queue and type, so those
    who carry out no `MANAGEMENT` action can skip their checks.
    """

    __slots__ = ("_decided", "everything", "grants")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.grants = tuple(grants)
        self._decided: dict[tuple[Action, str | None, str | None], bool] = {}
        self.everything = all(self._covers(action) for action in Action if action not in MANAGEMENT)

    def allows(self, action: Action, queue: str | None = None, type: str | None = None) -> bool:
        """Whether the action is permitted on this queue and task type.

        None: on at least one queue, or for at least one type. Check each item as well when an action without a type
        reaches tasks of several types, or use `allows_every_type`.
        """
        if self.everything and action not in MANAGEMENT:
            return True
        key = (action, queue, type)
        known = self._decided.get(key)
        if known is not None:
            return known
        allowed = self._decide(action, queue, type)
        if len(queue or "") <= LONGEST_NAME and len(type or "") <= LONGEST_NAME:
            if len(self._decided) >= REMEMBERED:
                self._decided.clear()
            self._decided[key] = allowed
        return allowed

    def allows_every_type(self, action: Action, queue: str) -> bool:
        """Whether the action is permitted on this queue for all task types: needed to act on the whole queue."""
        if self.everything and action not in MANAGEMENT:
            return True
        concerned = [
            grant for grant in self.grants if action in grant.actions and _match(grant.queues, queue)
        ]
        return any(_cover(grant.types) for grant in concerned) and not any(grant.deny for grant in concerned)

    def require(self, action: Action, queue: str | None = None, type: str | None = None) -> None:
        """Check that the action is permitted (see `allows`). Raises AccessDenied."""
        if not self.allows(action, queue, type):
            raise AccessDenied(action, queue, type)

    def _covers(self, action: Action) -> bool:
        concerned = [grant for grant in self.grants if action in grant.actions]
        return not any(grant.deny for grant in concerned) and any(
            _cover(grant.queues) and _cover(grant.types) for grant in concerned
        )

    def _decide(self, action: Action, queue: str | None, type: str | None) -> bool:
        allowed = False
        for grant in self.grants:
            if action not in grant.actions:
                continue
            if grant.deny:
                if _denies(grant.queues, queue) and _denies(grant.types, type):
                    return False
            elif not allowed:
                allowed = _permits(grant.queues, queue) and _permits(grant.types, type)
        return allowed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self.grants == other.grants

    def __hash__(self) -> int:
        return hash(self.grants)

    def __repr__(self) -> str:
        return f"Access({list(self.grants)!r})"


def _match(patterns: tuple[str, ...], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _cover(patterns: tuple[str, ...]) -> bool:
    return any(map(matches_everything, patterns))


def _permits(patterns: tuple[str, ...], name: str | None) -> bool:
    return bool(patterns) if name is None else _match(patterns, name)


def _denies(patterns: tuple[str, ...], name: str | None) -> bool:
    return _cover(patterns) if name is None else _match(patterns, name)


#: Every action on every queue and task type.
FULL_ACCESS = Access([Grant(frozenset(Action))])
