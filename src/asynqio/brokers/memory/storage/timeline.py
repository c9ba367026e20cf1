"""Ids ordered by time, with removal of any id: a heap with lazy deletion."""

from __future__ import annotations

import heapq


class Timeline:
    """A set of ids, each with a time; earliest first, equal times in order of insertion."""

    __slots__ = ("_heap", "_latest", "_next", "_places")

    def __init__(self) -> None:
        self._places: dict[str, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._next = 0
        #: The latest time; None: its id was removed, so it must be computed again.
        self._latest: float | None = None

    def add(self, id: str, at: float) -> None:
        self._next += 1
        if not self._places or (self._latest is not None and at > self._latest):
            self._latest = at
        self._places[id] = (at, self._next)
        heapq.heappush(self._heap, (at, self._next, id))

    def discard(self, id: str) -> None:
        self._remove(id)
        # Removed ids stay in the heap until they reach its top; rebuild before they outnumber the others.
        if len(self._heap) > 2 * len(self._places) + 64:
            self._heap = [(at, number, id) for id, (at, number) in self._places.items()]
            heapq.heapify(self._heap)

    def put(self, id: str, at: float) -> None:
        """Add an id, or change its time."""
        self.remove(id)
        self.add(id, at)

    def remove(self, id: str) -> None:
        """Discard an id, if it is in the set."""
        if id in self._places:
            self.discard(id)

    def next_at(self) -> float:
        """The earliest time. There must be an id."""
        heap, places = self._heap, self._places
        while places.get(heap[0][2]) != heap[0][:2]:
            heapq.heappop(heap)
        return heap[0][0]

    def last_at(self) -> float:
        """The latest time. There must be an id."""
        if self._latest is None:
            self._latest = max(at for at, _ in self._places.values())
        return self._latest

    def pop(self) -> str:
        """Remove and return the id with the earliest time. There must be one."""
        self.next_at()
        id = heapq.heappop(self._heap)[2]
        self._remove(id)
        return id

    def _remove(self, id: str) -> None:
        if self._places.pop(id)[0] == self._latest:
            self._latest = None

    def in_order(self, *, newest_first: bool = False) -> list[str]:
        return sorted(self._places, key=self._places.__getitem__, reverse=newest_first)

    def __len__(self) -> int:
        return len(self._places)
