"""Attempts, live events and explain: attempt records with log lines, a stream of events, the reason of a state."""

import asyncio
import logging

from asynqio import App, FixedRetry, LogLine, StateChange, TaskState, current

app = App("memory://", retention=60, retry=FixedRetry(0.05))
log = logging.getLogger("shop")


@app.task("import")
async def import_rows(rows: int) -> int:
    current().log(f"attempt {current().retried + 1} starts")
    await current().report_progress(50)
    if current().retried == 0:
        log.warning("row 500 is invalid")  # stored too, because of capture_logs=True
        raise ValueError("invalid row")
    return rows


async def main() -> None:
    async with app:
        handle = await import_rows.enqueue(1000)
        why = await app.inspector.explain(handle)
        print("explain:", why.situation, "|", why.why[-1])
        async with app.running(capture_logs=True):
            async for event in handle.follow():
                match event:
                    case StateChange(TaskState.COMPLETED):
                        print("  completed")
                    case LogLine(text=text):
                        print("  log:", text)
        for attempt in await app.inspector.attempts(handle):
            print(attempt.number, attempt.outcome, attempt.error or "-", [line.text for line in attempt.log])


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# explain: no-server | No server serves queue 'default': no server is running.
#   log: attempt 1 starts
#   log: shop: row 500 is invalid
#   log: attempt 2 starts
#   completed
# 1 failed ValueError: invalid row ['attempt 1 starts', 'shop: row 500 is invalid']
# 2 succeeded - ['attempt 2 starts']
