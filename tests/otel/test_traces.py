"""One trace from the producer to the last retry, by W3C headers, without overwriting headers of the user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from asynqio import (
    App,
    Client,
    ConfigError,
    DuplicateTask,
    FixedRetry,
    Mux,
    Next,
    RetryIn,
    RevokeTask,
    Server,
    SkipRetry,
    Task,
    TaskState,
    current,
    sync,
)
from asynqio.otel import instrument
from asynqio.testing import isolated
from tests.otel.conftest import Spans
from tests.runtime.waiting import gone, state_of, within

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
async def app(spans: Spans) -> AsyncIterator[App]:
    """An open, traced app."""
    async with App("memory://", retention=60) as app:
        instrument(app, tracer_provider=spans.provider)
        yield app


def trace_id(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent is not None else None


async def test_a_producer_an_attempt_and_what_it_enqueues_are_one_trace(app: App, spans: Spans) -> None:
    @app.task("second")
    async def second() -> str:
        return current().headers["traceparent"]

    @app.task("first")
    async def first() -> str:
        handle = await second.enqueue()
        return handle.id

    tracer = spans.provider.get_tracer("web")
    async with app.running():
        with tracer.start_as_current_span("request") as request:
            handle = await first.enqueue()
        assert await app.result(await within(handle.result()), timeout=20)
    sent, again = spans.all("send default")
    processed = {str((span.attributes or {})["asynqio.task.type"]): span for span in spans.all("process")}
    # Then all spans belong to the trace of the request, each a child of the previous one
    assert {trace_id(span) for span in spans.all()} == {f"{request.get_span_context().trace_id:032x}"}
    assert parent_id(sent) == f"{request.get_span_context().span_id:016x}"
    assert parent_id(processed["first"]) == span_id(sent)
    assert parent_id(again) == span_id(processed["first"])
    assert parent_id(processed["second"]) == span_id(again)
    # And are linked, as the messaging conventions require
    [link] = processed["first"].links
    assert f"{link.context.span_id:016x}" == span_id(sent)
    assert (sent.kind, processed["first"].kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)


async def test_spans_have_the_attributes_of_the_messaging_conventions(app: App, spans: Spans) -> None:
    @app.task("mail", queue="mail", max_retry=7)
    async def mail() -> None: ...

    async with app.running(queues={"mail": 1}):
        handle = await mail.enqueue()
        await within(handle.result())
    assert dict(spans.one("send mail").attributes or {}) == {
        "messaging.system": "asynqio",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": handle.id,
        "asynqio.task.type": "mail",
    }
    assert dict(spans.one("process mail").attributes or {}) == {
        "messaging.system": "asynqio",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": handle.id,
        "asynqio.task.type": "mail",
        "asynqio.task.retried": 0,
        "asynqio.task.max_retry": 7,
    }


async def test_every_retry_is_a_new_span_of_the_same_trace(app: App, spans: Spans) -> None:
    @app.task("flaky", retry=FixedRetry(0))
    async def flaky() -> int:
        if current().retried < 2:
            raise ValueError(f"failure {current().retried + 1}")
        return current().retried

    async with app.running():
        assert await (await flaky.enqueue()).result(timeout=20) == 2
    first, second, third = attempts = spans.all("process")
    assert {trace_id(span) for span in attempts} == {trace_id(spans.one("send"))}
    assert len({span_id(span) for span in attempts}) == 3
    assert [(span.attributes or {})["asynqio.task.retried"] for span in attempts] == [0, 1, 2]
    for span, text in ((first, "failure 1"), (second, "failure 2")):
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "ValueError"
        [event] = span.events
        assert event.name == "exception"
        assert (event.attributes or {})["exception.message"] == text
    assert third.status.status_code is StatusCode.UNSET
    assert not third.events


async def test_an_existing_context_is_kept(app: App, spans: Spans) -> None:
    @app.task("work")
    async def work() -> dict[str, str]:
        return dict(current().headers)

    async with app.running():
        handle = await work.with_options(headers={"traceparent": GIVEN, "tenant": "a"}).enqueue()
        assert await handle.result(timeout=20) == {"traceparent": GIVEN, "tenant": "a"}
    span = spans.one("process")
    assert (trace_id(span), parent_id(span)) == (TRACE, PARENT)


async def test_other_headers_are_kept(app: App, spans: Spans) -> None:
    @app.task("work")
    async def work() -> dict[str, str]:
        return dict(current().headers)

    async with app.running():
        headers = await (await work.with_options(headers={"tenant": "a"}).enqueue()).result(timeout=20)
    sent = spans.one("send")
    assert headers.keys() == {"tenant", "traceparent"}
    assert headers["tenant"] == "a"
    assert headers["traceparent"].startswith(f"00-{trace_id(sent)}-{span_id(sent)}-")


@pytest.mark.parametrize("text", ["", "rubbish", "00-1-2-03", "00-" + 32 * "0" + "-" + 16 * "0" + "-01"])
async def test_an_invalid_context_starts_a_new_trace(app: App, spans: Spans, text: str) -> None:
    @app.task("work")
    async def work() -> str:
        return current().headers["traceparent"]

    async with app.running():
        handle = await work.with_options(headers={"traceparent": text}).enqueue()
        assert await handle.result(timeout=20) == text
    span = spans.one("process")
    assert span.parent is None
    assert not span.links


async def test_a_bulk_enqueue_is_one_span_whose_context_all_tasks_carry(app: App, spans: Spans) -> None:
    @app.task("work")
    async def work(number: int) -> int:
        return number

    async with app.running():
        answers = await app.enqueue_many(
            [*(work.task(number) for number in range(5)), Task("work", b"1", deadline=1.0)]
        )
        for answer in answers[:5]:
            assert not isinstance(answer, Exception)
            await within(app.result(answer))
    sent = spans.one("send")
    assert (sent.attributes or {})["messaging.batch.message_count"] == 6
    assert (sent.attributes or {})["asynqio.batch.refused"] == 1
    assert sent.status.status_code is StatusCode.ERROR
    assert {parent_id(span) for span in spans.all("process")} == {span_id(sent)}
    assert len(spans.all("process")) == 5


async def test_a_rejected_task_is_an_error_of_its_span(app: App, spans: Spans) -> None:
    await app.enqueue(Task("work"), unique=60)
    with pytest.raises(DuplicateTask):
        await app.enqueue(Task("work"), unique=60)
    accepted, refused = spans.all("send")
    assert accepted.status.status_code is StatusCode.UNSET
    assert refused.status.status_code is StatusCode.ERROR
    assert (refused.attributes or {})["error.type"] == "DuplicateTask"


async def test_an_invalid_task_is_rejected_as_without_tracing(app: App) -> None:
    with pytest.raises(TypeError, match="enqueue takes a Task"):
        await app.enqueue("work")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="enqueue takes a Task"):
        await app.enqueue_many(["work"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (RevokeTask("no"), "revoked"),
        (RetryIn(600), "deferred"),
        (RetryIn(600, counted=True), None),
        (SkipRetry("no"), None),
    ],
)
async def test_directives_are_no_errors_except_skip_retry(
    app: App, spans: Spans, raised: Exception, outcome: str | None
) -> None:
    @app.task("work")
    async def work() -> None:
        raise raised

    async with app.running():
        info = (await work.enqueue()).info
        match outcome:
            case "revoked":
                await gone(app, info)
            case "deferred":
                await state_of(app, info, TaskState.RETRY)
            case _ if isinstance(raised, RetryIn):
                await state_of(app, info, TaskState.RETRY)
            case _:
                await state_of(app, info, TaskState.ARCHIVED)
    span = spans.one("process")
    assert (span.attributes or {}).get("asynqio.task.outcome") == outcome
    assert span.status.status_code is (StatusCode.UNSET if outcome else StatusCode.ERROR)


async def test_a_timeout_is_the_error_of_its_span(app: App, spans: Spans) -> None:
    @app.task("slow", timeout=0.2, max_retry=0)
    async def slow() -> None:
        await asyncio.Event().wait()

    async with app.running():
        await state_of(app, (await slow.enqueue()).info, TaskState.ARCHIVED)
    assert (spans.one("process").attributes or {})["error.type"] == "TaskTimeout"


async def test_an_aborted_attempt_is_no_error(app: App, spans: Spans) -> None:
    started = asyncio.Event()

    @app.task("long")
    async def long() -> None:
        started.set()
        await asyncio.Event().wait()

    async with app.running(shutdown_timeout=0):
        await long.enqueue()
        await within(started.wait())
    span = spans.one("process")
    assert (span.attributes or {})["asynqio.task.outcome"] == "aborted"
    assert span.status.status_code is StatusCode.UNSET


async def test_handlers_in_threads_see_the_span_of_their_attempt(app: App, spans: Spans) -> None:
    @app.task("plain")
    def plain() -> str:
        return f"{get_current_span().get_span_context().span_id:016x}"

    async with app.running():
        seen = await (await plain.enqueue()).result(timeout=20)
    assert seen == span_id(spans.one("process"))


async def test_the_tracing_middleware_is_outermost_and_added_once(app: App, spans: Spans) -> None:
    seen: list[str] = []

    @app.middleware
    async def look(task: Task, call_next: Next) -> object:
        seen.append(f"{get_current_span().get_span_context().span_id:016x}")
        return await call_next(task)

    instrument(app, tracer_provider=spans.provider)  # repeated

    @app.task("work")
    async def work() -> None: ...

    async with app.running():
        await (await work.enqueue()).result(timeout=20)
    assert seen == [span_id(spans.one("process"))]
    assert len(spans.all("send")) == 1


async def test_go_style_clients_and_muxes_can_be_traced(tmp_path: Path, spans: Spans) -> None:
    mux = Mux()

    @mux.handle("work")
    async def work(task: Task) -> None: ...

    url = f"sqlite:///{tmp_path}/tasks.db"
    async with Client(url) as client:
        instrument(client, tracer_provider=spans.provider)
        instrument(mux, tracer_provider=spans.provider)
        async with Server(url).running(mux):
            info = await client.enqueue(Task("work"), retention=60)
            await client.wait(info, timeout=20)
    assert parent_id(spans.one("process")) == span_id(spans.one("send"))


def test_code_without_an_event_loop_continues_its_trace(tmp_path: Path, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("script")
    with sync.Client(f"sqlite:///{tmp_path}/tasks.db") as client:
        instrument(client, tracer_provider=spans.provider)
        with tracer.start_as_current_span("script") as script:
            info = client.enqueue(Task("work"))
        sent = spans.one("send")
        assert parent_id(sent) == f"{script.get_span_context().span_id:016x}"
        assert client.find(info).headers["traceparent"].startswith(f"00-{trace_id(sent)}-{span_id(sent)}-")


def test_the_sync_side_of_an_app_is_traced_too(tmp_path: Path, spans: Spans) -> None:
    app = App(f"sqlite:///{tmp_path}/tasks.db")
    instrument(app, tracer_provider=spans.provider)
    try:
        app.sync.enqueue(Task("work"))
    finally:
        app.sync.close()
    assert spans.one("send").kind is SpanKind.PRODUCER


async def test_tasks_run_by_app_testing_are_traced(spans: Spans) -> None:
    app = App("memory://")
    instrument(app, tracer_provider=spans.provider)

    @app.task("work")
    async def work() -> None: ...

    with isolated(app) as testing:
        await work.enqueue()
        await testing.run_all()
    assert parent_id(spans.one("process")) == span_id(spans.one("send"))


async def test_without_an_sdk_tasks_are_unchanged() -> None:
    async with App("memory://", tracing=True, retention=60) as app:

        @app.task("work")
        async def work() -> dict[str, str]:
            return dict(current().headers)

        async with app.running():
            assert await (await work.enqueue()).result(timeout=20) == {}


def test_an_untraceable_target_is_rejected() -> None:
    with pytest.raises(ConfigError, match="instrument takes an App, a Client or a Mux"):
        instrument(object())  # type: ignore[arg-type]
