"""Bounds the number and the length of label values: enqueued task types must not fill the memory of a collector."""

from __future__ import annotations

from typing import Any

from prometheus_client.metrics import MetricWrapperBase

#: Number of task types with their own label value, and the label value of all others.
TYPE_LIMIT, OTHER = 200, "other"
#: Longest label, in characters.
LONGEST = 120


class TypeLabels:
    """Maps task types to label values: the first `limit` types keep their names, later ones become `other`."""

    def __init__(self, limit: int = TYPE_LIMIT) -> None:
        self._limit = limit
        self._labels: dict[str, str] = {}

    def label(self, type: str) -> str:
        """The label value of a task type."""
        known = self._labels.get(type)
        if known is not None:
            return known
        if len(self._labels) >= self._limit:
            return OTHER
        label = self._labels[type] = type[:LONGEST]
        return label


class Children(dict[tuple[str, ...], Any]):
    """A cache of the children of a metric by label values: `labels()` is the slowest part of counting."""

    def __init__(self, metric: MetricWrapperBase) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        child = self[labels] = self._metric.labels(*labels)
        return child
