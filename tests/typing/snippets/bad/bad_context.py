"""What a handler may do."""

from asynqio import App, RetryIn, current

app = App("memory://")


@app.task("a")
async def a() -> None:
    current().report_progres(5)  # E: [attr-defined]
    current().retried = 3  # E: [misc]
    number: int = current().id  # E: [assignment]
    raise RetryIn("soon")  # E: [arg-type]


@app.task("b")
async def b(x: int) -> str:
    return x  # E: [return-value]
