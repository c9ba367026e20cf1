"""Errors: what a producer is told at once, what a worker makes of failures, and who hears of them."""

import asyncio

from asynqio import App, BadPayload, FixedRetry, InvalidTask, Task, TaskFailed, TaskOptions

app = App("memory://", retention=60, retry=FixedRetry(0.02))
heard: list[str] = []
mistakes: list[TaskOptions] = [{"queue": " "}, {"timeout": -1}, {"process_in": 5, "process_at": 2e9}]


@app.on_error
def report(task: Task, error: BaseException, final: bool) -> None:
    heard.append(f"{task.type}: {type(error).__name__}")


@app.task("divide", max_retry=1)
async def divide(a: int, b: int) -> float:
    return a / b


async def main() -> None:
    async with app, app.running():
        # Refused before anything is stored.
        for options in mistakes:
            try:
                await app.enqueue(Task.json("divide", {"a": 1, "b": 2}), **options)
            except InvalidTask as error:
                print(f"{type(error).__name__}: {error}")

        # Failed, retried, failed for good.
        try:
            await (await divide.enqueue(1, 0)).result(timeout=5)
        except TaskFailed as failed:
            print(failed.error)

        # A payload that does not fit the handler is archived at once: more tries could not help.
        info = await app.enqueue(Task.json("divide", {"a": 1, "b": "two"}))
        try:
            await app.result(info.id, timeout=5)
        except TaskFailed as failed:
            print(failed.error)
    print(heard, "of which", sum(BadPayload.__name__ in line for line in heard), "without a retry")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# InvalidName: task 'divide': queue ' ' must not be blank
# InvalidOption: task 'divide': timeout=-1 must be more than 0 (leave it out for the default)
# ConflictingOptions: task 'divide': process_at and process_in exclude each other: give a moment or a delay, not both
# ZeroDivisionError: division by zero
# the payload does not fit the handler of 'divide': Expected `int`, got `str` - at `$.b`
# ['divide: ZeroDivisionError', 'divide: ZeroDivisionError', 'divide: BadPayload'] of which 1 without a retry
