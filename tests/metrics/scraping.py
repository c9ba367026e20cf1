"""Scraping an endpoint as Prometheus does, and looking at what it said."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as plain_families

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Figures:
    """The samples of one scrape by name and labels."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = {family.name: family for family in families}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float | None:
        """The value with exactly these labels."""
        return self.samples.get((name, frozenset(labels.items())))

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """All values of this name by their labels' values, in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted(labels)): number
            for (known, labels), number in self.samples.items()
            if known == name
        }

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def fetch(url: str, accept: str = "") -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=20) as reply:
        text: str = reply.read().decode()
        return text


def scrape(url: str) -> Figures:
    """What Prometheus' text parser reads there."""
    return Figures(plain_families(fetch(url)))


def scrape_open_metrics(url: str) -> Figures:
    """The same through OpenMetrics, whose parser is strict."""
    text = fetch(url, OPEN_METRICS)
    assert text.endswith("# EOF\n")
    return Figures(open_metrics_families(text))  # type: ignore[no-untyped-call]


async def scraped(url: str) -> Figures:
    return await asyncio.to_thread(scrape, url)


def figures(registry: CollectorRegistry) -> Figures:
    """What a registry would say."""
    return Figures(plain_families(generate_latest(registry).decode()))


async def figures_of(registry: CollectorRegistry) -> Figures:
    """The same from a coroutine: a scrape may wait for a store."""
    return await asyncio.to_thread(figures, registry)
