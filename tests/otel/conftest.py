"""An OpenTelemetry SDK that keeps spans in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """The exported spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self, start: str = "") -> list[ReadableSpan]:
        """The spans whose names start with `start`, in the order of their end."""
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(start)]

    def one(self, start: str) -> ReadableSpan:
        [span] = self.all(start)
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    """The spans that end during this test."""
    spans = Spans()
    yield spans
    spans.provider.shutdown()
