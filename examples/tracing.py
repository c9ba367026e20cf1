"""Tracing: one trace from the producer to the retry of a task. (pip install "asynqio[otel]")"""

import asyncio

from opentelemetry import trace

from asynqio import App, FixedRetry, current

# The application sets up the OpenTelemetry SDK; without one, nothing is recorded.
app = App("memory://", retention=60, tracing=True)


@app.task("mail", retry=FixedRetry(0))
async def mail(to: str) -> str:
    if current().retried == 0:
        raise ConnectionError("the first attempt fails")
    return current().headers["traceparent"]


async def main() -> None:
    # A request context, which an SDK usually creates
    request = trace.SpanContext(
        trace_id=0x0AF7651916CD43DD8448EB211C80319C,
        span_id=0xB7AD6B7169203331,
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    async with app, app.running():
        with trace.use_span(trace.NonRecordingSpan(request)):
            handle = await mail.enqueue("ann@example.org")
        print(await handle.result(timeout=5))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
