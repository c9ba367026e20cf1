"""Labels are bounded: what others enqueue must never fill the memory of whoever collects metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client.metrics import MetricWrapperBase

#: Different task types that get a label of their own, and what stands for all others.
TYPE_LIMIT, OTHER = 200, "other"
#: Longest label, in characters.
LONGEST = 120


class TypeLabels:
    """The label of a task type: the first ones seen keep their names, later ones are `other`."""

    def __init__(self, limit: int = TYPE_LIMIT) -> None:
        self._limit = limit
        self._labels: dict[str, str] = {}

    def of(self, type: str) -> str:
        known = self._labels.get(type)
        if known is not None:
            return known
        if len(self._labels) >= self._limit:
            return OTHER
        label = self._labels[type] = type[:LONGEST]
        return label


class Children(dict[tuple[str, ...], Any]):
    """The children of a metric by their labels. `labels()` itself takes longer than all the rest."""

    def __init__(self, metric: MetricWrapperBase) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        child = self[labels] = self._metric.labels(*labels)
        return child
