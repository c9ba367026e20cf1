"""OpenTelemetry tracing: a span for each enqueue call and each attempt, in one trace.

    from asynqio.otel import instrument

    instrument(app)                     # or App(..., tracing=True)

The context is stored in the task headers `traceparent` and `tracestate` (W3C Trace Context), so producers and workers
may use any language. An existing `traceparent` header is kept. The span of an attempt is a child of the context in
the headers, so producer, attempts and retries form one trace, and has a link to it, as the messaging conventions
require.
Needs `pip install "asynqio[otel]"`; the application sets up the OpenTelemetry SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from asynqio.errors import ConfigError

try:
    from opentelemetry import trace
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError:
    raise ConfigError(["tracing needs opentelemetry-api: pip install 'asynqio[otel]'"]) from None

from asynqio.client import Client
from asynqio.core.lifecycle import Failed
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.options import TaskOptions, merge
from asynqio.core.task.task import Task
from asynqio.errors import EnqueueError, RetryIn, RevokeTask
from asynqio.mux import Mux, Next
from asynqio.runtime.attempts.attempt import active_attempt
from asynqio.sync import client as blocking

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

#: W3C Trace Context only: baggage belongs to the application and would be stored with every task.
_CONTEXT = TraceContextTextMapPropagator()
_HEADER = "traceparent"
#: Read once: it takes a look at the disk.
_VERSION = version("asynqio")


@runtime_checkable
class Traceable(Protocol):
    """An App: clients that `trace` shows, and a mux."""

    mux: Mux

    def trace(self, tracer: Callable[[Client], None]) -> None: ...


def instrument(
    target: Traceable | Client | blocking.Client | Mux, *, tracer_provider: TracerProvider | None = None
) -> None:
    """Trace the enqueue calls of a client, the attempts of a mux, or both for an app. Repeated calls have no effect.

    Without a `tracer_provider`, the global one is used, also if the application sets it later. Raises ConfigError for
    any other target.
    """
    tracer = trace.get_tracer("asynqio", _VERSION, tracer_provider)
    match target:
        case Client():
            _client(target, tracer)
        case blocking.Client():
            _client(target.awaited, tracer)
        case Mux():
            _mux(target, tracer)
        case Traceable():
            target.trace(lambda client: _client(client, tracer))
            _mux(target.mux, tracer)
        case _:
            raise ConfigError([f"instrument takes an App, a Client or a Mux, not {target!r}"])


def _client(client: Client, tracer: Tracer) -> None:
    if client.tracing is None:
        client.tracing = _Producer(copy.copy(client), tracer)


def _mux(mux: Mux, tracer: Tracer) -> None:
    if not any(isinstance(middleware, _Consumer) for middleware in mux.middleware):
        mux.use(_Consumer(tracer), outermost=True)


class _Producer:
    """Enqueues through an untraced copy of a client, with a span around each call."""

    def __init__(self, client: Client, tracer: Tracer) -> None:
        self._client = client
        self._tracer = tracer
        self._address = _server_address(client.broker.url)

    async def enqueue(self, task: Task, options: TaskOptions) -> TaskInfo:
        with self._span([task], options) as span:
            info = await self._client.enqueue(self._with_context(task, options), **options)
            span.set_attribute("messaging.message.id", info.id)
            return info

    async def enqueue_many(
        self, tasks: Iterable[Task], options: TaskOptions
    ) -> list[TaskInfo | EnqueueError]:
        tasks = list(tasks)
        with self._span(tasks, options) as span:
            span.set_attribute("messaging.batch.message_count", len(tasks))
            carrying = [self._with_context(task, options) for task in tasks]
            answers = await self._client.enqueue_many(carrying, **options)
            refused = [answer for answer in answers if isinstance(answer, EnqueueError)]
            if refused:
                span.set_attribute("asynqio.batch.refused", len(refused))
                _fail(span, refused[0])
            return answers

    @contextlib.contextmanager
    def _span(self, tasks: Sequence[Any], options: TaskOptions) -> Iterator[Span]:
        queues = {self._options(task, options).get("queue", "default") for task in tasks}
        queue = queues.pop() if len(queues) == 1 else None
        attributes = {**self._address, **_attributes("send", queue)}
        types = {task.type for task in tasks if isinstance(task, Task)}
        if len(types) == 1:
            attributes["asynqio.task.type"] = types.pop()
        with self._tracer.start_as_current_span(
            f"send {queue}" if queue is not None else "send",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                _fail(span, error)
                raise

    def _options(self, task: Any, options: TaskOptions) -> TaskOptions:
        """The effective options of a task; empty if they are invalid, which the client reports."""
        try:
            return merge(self._client._defaults, task.options, options)
        except (EnqueueError, AttributeError):
            return {}

    def _with_context(self, task: Any, options: TaskOptions) -> Any:
        """The task with the context of the current span in its headers, unless it has a context."""
        if _HEADER in self._options(task, options).get("headers", {}):
            return task
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier)
        if not carrier or not isinstance(task, Task):  # no SDK and no trace
            return task
        carrying = copy.copy(task)
        carrying.options = merge(task.options, {"headers": carrier})
        return carrying


class _Consumer:
    """Middleware that creates a span for each attempt."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def __call__(self, task: Task, call_next: Next) -> Any:
        attempt = active_attempt.get()
        message = attempt.lease.message
        context = _CONTEXT.extract(message.headers)
        origin = trace.get_current_span(context).get_span_context()
        with self._tracer.start_as_current_span(
            f"process {message.queue}",
            context=context,
            kind=SpanKind.CONSUMER,
            links=[Link(origin)] if origin.is_valid else (),
            attributes={
                **_attributes("process", message.queue),
                "messaging.message.id": message.id,
                "asynqio.task.type": message.type,
                "asynqio.task.retried": message.retried,
                "asynqio.task.max_retry": message.max_retry,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await call_next(task)
            except asyncio.CancelledError as cancelled:
                reason = attempt.stopped_by  # timed out, cancelled, or the server stops
                if isinstance(reason, Failed):
                    _fail(span, reason.error)
                elif reason is None:
                    _fail(span, cancelled)
                else:
                    span.set_attribute("asynqio.task.outcome", "aborted")
                raise
            except RevokeTask:
                span.set_attribute("asynqio.task.outcome", "revoked")
                raise
            except RetryIn as directive:
                if directive.counted:
                    _fail(span, directive)
                    raise
                span.set_attribute("asynqio.task.outcome", "deferred")
                raise
            except BaseException as error:
                _fail(span, error)
                raise


def _fail(span: Span, error: BaseException) -> None:
    span.record_exception(error)
    span.set_status(StatusCode.ERROR, type(error).__name__)
    span.set_attribute("error.type", type(error).__qualname__)


def _attributes(operation: str, queue: str | None) -> dict[str, Any]:
    """The attributes that the messaging conventions require on every span."""
    attributes = {
        "messaging.system": "asynqio",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    return attributes


def _server_address(url: str) -> Mapping[str, Any]:
    """The address of the broker, if it is a server. `url` has no secrets."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # several hosts: a cluster, or sentinels
        return {}
    if not host or parts.scheme == "memory":
        return {}
    return {"server.address": host, **({"server.port": port} if port else {})}
