"""Traces across languages, by headers that both sides preserve."""

from __future__ import annotations

from asynqio import App, Client, FixedRetry, Mux, Server, Task
from asynqio.otel import instrument
from tests.interop.conftest import Go
from tests.otel.conftest import Spans
from tests.otel.conftest import spans as spans
from tests.otel.test_traces import parent_id, span_id, trace_id
from tests.runtime.waiting import within

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def test_a_go_producer_and_a_python_consumer_are_one_trace(go: Go, spans: Spans) -> None:
    async with App(go.url) as app, go.client() as client:
        instrument(app, tracer_provider=spans.provider)

        @app.task("ok:mail")
        async def mail() -> None: ...

        # Given a task that a Go service enqueued within a trace
        given = await client.enqueue(
            "ok:mail",
            b"{}",
            retention=60,
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x", "tenant": "a"},
        )
        # When Python has run it
        async with app.running():
            await within(app.result(given.id))
    # Then the attempt is in Go's trace, as a child of and with a link to Go's span
    span = spans.one("process default")
    assert (trace_id(span), parent_id(span)) == (TRACE, PARENT)
    [link] = span.links
    assert f"{link.context.trace_id:032x}" == TRACE
    assert link.context.trace_state.get("vendor") == "x"


async def test_a_go_consumer_receives_the_trace_of_a_python_producer(go: Go, spans: Spans) -> None:
    async with go.server() as server, Client(go.url) as client:
        instrument(client, tracer_provider=spans.provider)
        info = await client.enqueue(Task("ok:mail"))
        seen = (await server.event("started", id=info.id)).seen
    sent = spans.one("send default")
    assert (seen.headers or {})["traceparent"].startswith(f"00-{trace_id(sent)}-{span_id(sent)}-")


async def test_a_task_of_go_that_fails_in_python_is_retried_in_its_trace(go: Go, spans: Spans) -> None:
    mux = Mux()
    instrument(mux, tracer_provider=spans.provider)
    runs: list[int] = []

    @mux.handle("work", retry=FixedRetry(0))
    async def work(task: Task) -> bytes:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("the first time")
        return b"done"

    async with Client(go.url) as ours, go.client() as client, Server(go.url).running(mux):
        given = await client.enqueue(
            "work", b"", retention=60, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}
        )
        await ours.wait(given.id, timeout=20)
    first, second = spans.all("process")
    assert {trace_id(first), trace_id(second)} == {TRACE}
    assert span_id(first) != span_id(second)
