"""Scrapes an endpoint as Prometheus does and parses the samples."""

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


class Samples:
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
        """All values of a metric by label values, ordered by label names."""
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


def scrape(url: str) -> Samples:
    """Scrape with the text parser of Prometheus."""
    return Samples(plain_families(fetch(url)))


def scrape_open_metrics(url: str) -> Samples:
    """Scrape with the strict parser of OpenMetrics."""
    text = fetch(url, OPEN_METRICS)
    assert text.endswith("# EOF\n")
    return Samples(open_metrics_families(text))  # type: ignore[no-untyped-call]


async def scraped(url: str) -> Samples:
    return await asyncio.to_thread(scrape, url)


def samples(registry: CollectorRegistry) -> Samples:
    """The samples of a registry."""
    return Samples(plain_families(generate_latest(registry).decode()))


async def samples_of(registry: CollectorRegistry) -> Samples:
    """The samples of a registry, collected in a thread: a scrape may wait for a store."""
    return await asyncio.to_thread(samples, registry)
