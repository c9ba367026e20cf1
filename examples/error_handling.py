"""Errors: invalid calls are refused, failed tasks are retried or archived, and hooks are notified."""

import asyncio

from asynqio import App, BadPayload, FixedRetry, InvalidTask, Task, TaskFailed, TaskOptions

app = App("memory://", retention=60, retry=FixedRetry(0.02))
failures: list[str] = []
mistakes: list[TaskOptions] = [{"queue": " "}, {"timeout": -1}, {"process_in": 5, "process_at": 2e9}]


@app.on_error
def record(task: Task, error: BaseException, final: bool) -> None:
    failures.append(f"{task.type}: {type(error).__name__}{', final' if final else ''}")


@app.task("divide", max_retry=1)
async def divide(a: int, b: int) -> float:
    return a / b


async def main() -> None:
    async with app, app.running():
        # Invalid calls are refused before anything is stored.
        for options in mistakes:
            try:
                await app.enqueue(Task.json("divide", {"a": 1, "b": 2}), **options)
            except InvalidTask as error:
                print(f"{type(error).__name__}: {error}")

        # A failing task is retried, then archived.
        try:
            await (await divide.enqueue(1, 0)).result(timeout=5)
        except TaskFailed as failed:
            print(failed.error)

        # A payload that does not fit the handler is archived at once: a retry cannot help.
        info = await app.enqueue(Task.json("divide", {"a": 1, "b": "two"}))
        try:
            await app.result(info.id, timeout=5)
        except TaskFailed as failed:
            print(failed.error)
    print(failures, "without a retry:", sum(BadPayload.__name__ in line for line in failures))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# InvalidName: task 'divide': queue ' ' must not be blank
# InvalidOption: task 'divide': timeout=-1 must be more than 0 (leave it out for the default)
# ConflictingOptions: task 'divide': process_at and process_in exclude each other: give a moment or a delay, not both
# ZeroDivisionError: division by zero
# the payload does not fit the handler of 'divide': Expected `int`, got `str` - at `$.b`
# ['divide: ZeroDivisionError', 'divide: ZeroDivisionError, final', 'divide: BadPayload, final'] without a retry: 1
