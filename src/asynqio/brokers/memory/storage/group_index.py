"""When to check which group: one timeline per set of rules, as in the other brokers."""

from __future__ import annotations

from collections.abc import Iterable

from asynqio.brokers.memory.storage.timeline import Timeline

#: Seconds for which the index of a set of rules is kept after its last use.
KEPT = 60.0


class GroupIndex:
    """The groups of one queue by the time at which to check them next; 0 if they changed."""

    def __init__(self) -> None:
        self._due: dict[str, Timeline] = {}
        self._until: dict[str, float] = {}

    def use(self, rules: str, groups: Iterable[str], now: float) -> Timeline:
        """The timeline of a set of rules, made from all groups if there is none."""
        for unused in [other for other, until in self._until.items() if until <= now and other != rules]:
            del self._due[unused], self._until[unused]
        self._until[rules] = now + KEPT
        due = self._due.get(rules)
        if due is None:
            due = self._due[rules] = Timeline()
            for group in groups:
                due.add(group, 0.0)
        return due

    def changed(self, group: str) -> None:
        """Check a group again."""
        for due in self._due.values():
            due.put(group, 0.0)

    def removed(self, group: str) -> None:
        """The group has no unclaimed member left."""
        for due in self._due.values():
            due.remove(group)
