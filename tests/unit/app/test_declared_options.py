"""Options are checked where they are written: the error names the place, the wrong word, and the right one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from asynqio import App, Client, FixedRetry, InvalidTask, Scheduler, Task, sync
from asynqio.errors import ConflictingOptions, InvalidName, InvalidOption

app = App("memory://")


@app.task("email:send")
async def send(to: str = "") -> None: ...


def declare(**options: Any) -> None:
    App("memory://").task("email:send", **options)(lambda: None)


def declare_without_a_type(**options: Any) -> None:
    def send() -> None: ...

    App("memory://").task(**options)(send)


def schedule(**options: Any) -> None:
    app.cron("@daily", **options)(send)


#: Where options are written, and what the message begins with.
PLACES: dict[str, tuple[Callable[..., Any], str]] = {
    "task": (declare, "task 'email:send': "),
    "task without a type": (declare_without_a_type, "task 'tests.unit.app.test_declared_options."),
    "with_options": (send.with_options, "task 'email:send': "),
    "cron": (schedule, "@app.cron('@daily') of task 'email:send': "),
    "App": (lambda **options: App("memory://", **options), "App: "),
    "Client": (lambda **options: Client("memory://", **options), "Client: "),
    "sync.Client": (lambda **options: sync.Client("memory://", **options), "Client: "),
    "Scheduler": (lambda **options: Scheduler("memory://", **options), "Scheduler: "),
    "Task": (lambda **options: Task("email:send", None, **options), "task 'email:send': "),
    "Task.json": (lambda **options: Task.json("email:send", {}, **options), "task 'email:send': "),
}
everywhere = pytest.mark.parametrize("place", PLACES)


@everywhere
def test_a_misspelt_option_is_refused_with_the_right_word(place: str) -> None:
    write, start = PLACES[place]
    with pytest.raises(InvalidOption) as caught:
        write(retentoin=60)
    text = str(caught.value)
    assert text.startswith(start)
    assert text.endswith("retentoin=60 is not an option of a task: did you mean 'retention'?")
    assert (caught.value.option, caught.value.value) == ("retentoin", 60)
    assert f"{caught.value.place}: " == start or place == "task without a type"


@everywhere
@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("timeout", -1, "must be more than 0"),
        ("timeout", "1h", "must be a number of seconds"),
        ("max_retry", -1, "must be from 0"),
        ("max_retry", True, "must be a whole number"),
        ("retention", -5, "must be from 0 up"),
        ("unique", 0.5, "must be at least 1 second"),
        ("unique_until", "done", "must be one of started, finished, ended, expired"),
        ("on_duplicate", "merge", "must be one of reject, replace, reschedule"),
        ("process_in", -1, "must be from 0 up"),
        ("headers", {"a": 1}, "must map strings to strings"),
        ("replace_finished", "yes", "must be True or False"),
    ],
)
def test_a_bad_value_is_refused(place: str, option: str, value: Any, reason: str) -> None:
    write, start = PLACES[place]
    with pytest.raises(InvalidOption, match=reason) as caught:
        write(**{option: value})
    assert str(caught.value).startswith(start)


@everywhere
def test_a_bad_name_is_refused(place: str) -> None:
    write, start = PLACES[place]
    with pytest.raises(InvalidName, match="queue ' ' must not be blank") as caught:
        write(queue=" ")
    assert str(caught.value).startswith(start)


SYNONYMS = {
    "max_retries": "write max_retry",
    "retries": "write max_retry",
    "max_attempts": "write max_retry, which is one less",
    "max_tries": "write max_retry, which is one less",
    "countdown": "write process_in",
    "delay": "write process_in",
    "_defer_by": "write process_in",
    "eta": "write process_at",
    "_defer_until": "write process_at",
    "expires": "write deadline, a moment (not a duration)",
    "time_limit": "write timeout",
    "soft_time_limit": "write timeout",
    "job_timeout": "write timeout",
    "bind": "asynqio.current() is the context of the running task",
    "task_name": "as the first argument: @app.task('email:send')",
    "rate_limit": "there is no rate limit yet",
    "acks_late": "always acknowledged after its handler has ended",
    "ignore_result": "write retention=0",
    "store_results": "write retention",
    "result_ttl": "write retention",
    "autoretry_for": "every exception is retried; retry=RetryByException({…})",
    "dont_autoretry_for": "raise SkipRetry in the handler",
    "throws": "raise SkipRetry in the handler",
    "default_retry_delay": "write retry=ExponentialRetry(",
    "min_backoff": "write retry=ExponentialRetry(",
    "priority": "write queue: the weights of a server's queues",
    "job_id": "write task_id",
    "_job_id": "write task_id",
    "queue_name": "write queue",
    "routing_key": "write queue",
    "serializer": "payloads are JSON",
    "depends_on": "enqueue the next task at the end of the handler",
}


@pytest.mark.parametrize("word", SYNONYMS)
@pytest.mark.parametrize("place", ["task", "with_options", "Client", "cron", "Task"])
def test_the_words_of_other_queues_are_translated(place: str, word: str) -> None:
    write, start = PLACES[place]
    with pytest.raises(InvalidOption) as caught:
        write(**{word: 3})
    text = str(caught.value)
    assert text.startswith(f"{start}{word}=3 is not an option of a task: ")
    assert SYNONYMS[word] in text


def test_the_name_of_a_task_is_the_first_argument() -> None:
    with pytest.raises(
        InvalidOption, match=r"name='email' .*as the first argument: @app.task\('email:send'\)"
    ):
        declare_without_a_type(name="email")


def test_what_belongs_to_a_server_or_a_schedule_says_so() -> None:
    with pytest.raises(InvalidOption, match=r"App: concurrency=5 .*give it to app.run_worker\(…\)"):
        App("memory://", concurrency=5)  # type: ignore[call-arg]
    with pytest.raises(InvalidOption, match="write zone, the name of a time zone"):
        schedule(timezone="UTC")
    with pytest.raises(InvalidOption, match="write it into the spec"):
        schedule(hour=5)


@pytest.mark.parametrize("place", ["task", "App"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("task_id", "7"), ("deadline", 2e9), ("process_at", datetime(2040, 1, 1, tzinfo=UTC))],
)
def test_what_is_for_one_task_is_refused_for_many(place: str, option: str, value: object) -> None:
    write, _start = PLACES[place]
    with pytest.raises(InvalidOption, match=r"is for one task: give it to with_options\(…\) or enqueue\(…\)"):
        write(**{option: value})
    assert send.with_options(**{option: value}).options  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["with_options", "Client", "Task"])
def test_options_that_exclude_each_other_are_refused(place: str) -> None:
    write, start = PLACES[place]
    with pytest.raises(ConflictingOptions, match="process_at and process_in exclude each other") as caught:
        write(process_in=5, process_at=2e9)
    assert str(caught.value).startswith(start)


def test_options_of_another_layer_may_be_needed_and_are_not_missed_yet() -> None:
    throttled = App("memory://", unique=60)

    @throttled.task("work", on_duplicate="replace")
    def work() -> None: ...

    assert work.options == {"on_duplicate": "replace"}


@pytest.mark.parametrize("give", [5, "3", 1.5])
def test_a_retry_policy_is_not_a_number_of_retries(give: Any) -> None:
    for declare_it, start in (
        (declare, "task 'email:send'"),
        (lambda **retry: App("memory://", **retry), "App"),
    ):
        with pytest.raises(
            InvalidOption, match=rf"{start}: .*must be a policy such as FixedRetry\(10\).*max_retry"
        ):
            declare_it(retry=give)


def test_a_retry_policy_is_not_a_class() -> None:
    with pytest.raises(InvalidOption, match=r"task 'email:send': retry=.* is a class: write FixedRetry\(…\)"):
        declare(retry=FixedRetry)


async def test_a_call_that_enqueues_checks_its_own_options_at_once() -> None:
    async with Client("memory://") as client:
        with pytest.raises(InvalidOption, match=r"task 'a': countdown=5 .*write process_in"):
            await client.enqueue(Task("a"), countdown=5)  # type: ignore[call-arg]
        with pytest.raises(InvalidOption, match=r"enqueue_many: countdown=5 .*write process_in"):
            await client.enqueue_many([Task("a")], countdown=5)  # type: ignore[call-arg]


def test_every_refusal_is_an_invalid_task() -> None:
    assert issubclass(InvalidOption, InvalidTask)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1MB"])
def test_the_largest_payload_is_a_number_of_bytes(size: Any) -> None:
    for face in (App, Client, sync.Client):
        with pytest.raises(InvalidOption, match=r"max_payload=.* must be a whole number of bytes"):
            face("memory://", max_payload=size)


async def test_where_several_are_due_a_single_one_is_refused_with_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"args takes a list.*: write \['monthly'\]"):
        app.cron("@monthly", args="monthly")
    with pytest.raises(TypeError, match=r"queues takes a list.*: write \['default'\]"):
        app.check_tasks("default")
    with pytest.raises(TypeError, match=r"include takes module names.*not \['shop'\]"):
        app.include(["shop"])  # type: ignore[arg-type]
    async with Client("memory://") as client:
        with pytest.raises(TypeError, match=r"enqueue_many takes a list of tasks: write \[Task\('a'"):
            await client.enqueue_many(Task("a"))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"enqueue takes a Task, not .*: write function.task\(…\)"):
            await client.enqueue(send)  # type: ignore[arg-type]
