"""Log records: every call has an event that the reference lists, formats, and the task on every record."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynqio import App, FixedRetry, RetryIn, RevokeTask, Server, SkipRetry, Task, current, logs
from asynqio.errors import ConfigError
from asynqio.mux import Mux
from asynqio.runtime import log_format
from asynqio.runtime.log_format import JsonFormatter, PrettyFormatter, TextFormatter
from tests import log_calls, log_tasks
from tests.log_tasks import FIELDS, Kept
from tests.runtime.waiting import within


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, restored afterwards."""
    root = logging.getLogger()
    handlers, level, in_use = list(root.handlers), root.level, log_format.in_use
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    log_format.in_use = in_use


@pytest.fixture
def kept(root: logging.Logger) -> Kept:
    """Records of the root logger, seen through the filter."""
    kept = Kept()
    kept.addFilter(logs.TaskContextFilter())
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    return kept


def record(message: str = "packed", *args: object, name: str = "shop", **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(fields)
    return made


# --- formats --------------------------------------------------------------------------------------


def test_a_json_line_has_time_level_logger_message_event_and_all_fields() -> None:
    line = JsonFormatter().format(record("%d boxes", 3, event="box_packed", boxes=3, task_id="t1"))
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "WARNING",
        "logger": "shop",
        "message": "3 boxes",
        "event": "box_packed",
        "boxes": 3,
        "task_id": "t1",
    }
    assert "\n" not in line


def test_the_time_of_a_json_line_is_iso_8601_in_utc() -> None:
    made = record()
    made.created = 1_700_000_000.25
    assert json.loads(JsonFormatter().format(made))["time"] == "2023-11-14T22:13:20.250Z"


def test_a_json_line_has_the_exception() -> None:
    made = record()
    try:
        raise ValueError("no box")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: no box" in json.loads(JsonFormatter().format(made))["exception"]


def test_json_writes_any_value() -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("none")

    made = record(odd=object, nan=float("nan"), half="\ud800", nested={(1, 2): Silent()}, level="own")
    found = json.loads(JsonFormatter().format(made))
    assert found["level"] == "WARNING"
    assert found["level_"] == "own"
    assert "object" in found["odd"]
    assert found["half"] == "?"
    assert json.loads(JsonFormatter().format(record(only=Silent())))["only"].startswith(
        "(Silent without text"
    )


def test_text_lines_of_user_loggers_end_with_their_task() -> None:
    fields: dict[str, Any] = {"task_id": "t1", "task_type": "pack", "queue": "low", "attempt": 2}
    line = TextFormatter().format(record(**fields))
    assert line.endswith(": packed [task_id=t1 task_type=pack queue=low attempt=2]")
    assert TextFormatter().format(record()).endswith(": packed")
    assert TextFormatter().format(record(name="asynqio.server", **fields)).endswith(": packed")


def test_pretty_lines_are_coloured_on_request() -> None:
    assert "\x1b[33mWARNING\x1b[0m shop: packed" in PrettyFormatter(colour=True).format(record())
    assert PrettyFormatter(colour=False).format(record(boxes=3)).endswith("WARNING shop: packed  boxes=3")


def test_configure_writes_each_record_once_and_replaces_itself(root: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("text", stream=first)
    logs.configure("json", "warning", stream=second)
    logging.getLogger("shop").warning("packed")
    logging.getLogger("shop").info("below the level")
    assert first.getvalue() == ""
    assert [json.loads(line)["message"] for line in second.getvalue().splitlines()] == ["packed"]


@pytest.mark.parametrize("stream", ["terminal", "no terminal", "NO_COLOR"])
def test_pretty_is_coloured_on_a_terminal_only(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return stream != "no terminal"

    monkeypatch.delenv("NO_COLOR", raising=False)
    if stream == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    written = Terminal()
    logs.configure("pretty", stream=written)
    logging.getLogger("shop").warning("packed")
    assert ("\x1b[" in written.getvalue()) == (stream == "terminal")


def test_configure_names_what_is_wrong(root: logging.Logger) -> None:
    with pytest.raises(ConfigError, match="format='xml' must be one of text, json, pretty; level='loud'"):
        logs.configure("xml", "loud")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="level=None"):
        logs.configure(level=None)  # type: ignore[arg-type]


# --- the task on every record ---------------------------------------------------------------------


def fields_of(record: logging.LogRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, name, None) for name in FIELDS)


async def test_records_of_coroutine_and_thread_handlers_carry_their_task(kept: Kept) -> None:
    mux = Mux()
    log = logging.getLogger("shop")
    own_reached = asyncio.Event()

    @mux.handle("loop")
    async def on_the_loop(task: Task) -> None:
        log.warning("in a coroutine")
        logging.getLogger("asynqio.redis").warning("of a background task")
        own_reached.set()

    @mux.handle("thread")
    def in_a_thread(task: Task) -> None:
        log.warning("in a thread", extra={"queue": "its own"})

    async with App("memory://") as app, Server(app.broker).running(mux):
        for type in ("loop", "thread"):
            info = await app.enqueue(Task(type, retention=60), queue="default")
            await within(app.result(info.id))
            said = [one for one in kept.records if one.name == "shop"].pop()
            queue = "default" if type == "loop" else "its own"
            assert fields_of(said) == (info.id, type, queue, 1)
        await within(own_reached.wait())
        own = next(one for one in kept.records if one.name == "asynqio.redis")
        assert fields_of(own) == (None, None, None, None), "it is not about the task that started it"
        log.warning("outside")
        assert fields_of(kept.records[-1]) == (None, None, None, None)


async def test_the_attempt_counts_from_one(kept: Kept) -> None:
    app = App("memory://")

    @app.task("pack", retry=FixedRetry(0), retention=60)
    async def pack() -> None:
        logging.getLogger("shop").warning("try")
        if not current().retried:
            raise ValueError("again")

    async with app, app.running():
        await within((await pack.enqueue()).result())
    assert [one.__dict__["attempt"] for one in kept.records if one.name == "shop"] == [1, 2]


async def test_records_of_task_processes_carry_their_task() -> None:
    mux = Mux()
    mux.handle("process", log_tasks.log_and_return_fields, run_in="process")
    async with App("memory://") as app, Server(app.broker, processes=1).running(mux):
        info = await app.enqueue(Task("process", retention=60))
        assert await within(app.result(info.id)) == {
            "task_id": info.id,
            "task_type": "process",
            "queue": "default",
            "attempt": 1,
        }


def test_task_processes_log_in_the_format_of_the_server(root: logging.Logger) -> None:
    async def run() -> str:
        mux = Mux()
        mux.handle("process", log_tasks.log_one_line, run_in="process")
        async with App("memory://") as app, Server(app.broker, processes=1).running(mux):
            info = await app.enqueue(Task("process", retention=60))
            await within(app.result(info.id))
            return info.id

    output = io.StringIO()
    logs.configure("json", stream=output)
    id = asyncio.run(run())
    found = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [
        (line["message"], line["boxes"], line["task_id"]) for line in found if line["logger"] == "shop"
    ] == [("packed by a process", 3, id)]


# --- the records of attempts ----------------------------------------------------------------------

#: Seconds until a retry, as logged a moment after it was decided.
AN_HOUR, A_MINUTE = pytest.approx(3600, abs=1), pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    ("raised", "event", "level", "fields"),
    [
        (
            ValueError("no"),
            "task_retried",
            "WARNING",
            {"error": "ValueError: no", "retry_in": AN_HOUR},
        ),
        (SkipRetry("no"), "task_failed", "ERROR", {"error": "no"}),
        (RetryIn(60), "task_deferred", "INFO", {"error": "asked to run again in 60 s", "retry_in": A_MINUTE}),
        (
            RetryIn(60, "busy", counted=True),
            "task_retried",
            "WARNING",
            {"error": "busy", "retry_in": A_MINUTE},
        ),
        (RevokeTask("no"), "task_revoked", "INFO", {"error": "no"}),
        (
            KeyError("mild"),
            "task_deferred",
            "INFO",
            {"error": "KeyError: 'mild'", "retry_in": AN_HOUR},
        ),
    ],
    ids=repr,
)
async def test_the_end_of_an_attempt_is_logged_with_its_facts(
    kept: Kept, raised: Exception, event: str, level: str, fields: dict[str, object]
) -> None:
    app = App("memory://", is_failure=lambda error: not isinstance(error, KeyError))

    @app.task("work", queue="low", retry=FixedRetry(3600))
    async def work() -> None:
        raise raised

    async with app, app.running(queues={"low": 1}):
        info = (await work.enqueue()).info
        found = await within(kept.event(event))
    logged = found.__dict__
    assert (found.levelname, logged["task_id"], logged["task_type"]) == (level, info.id, "work")
    assert (logged["queue"], logged["attempt"]) == ("low", 1)
    assert {name: logged[name] for name in fields} == fields
    assert (found.exc_info is not None) == isinstance(raised, ValueError | KeyError)


async def test_the_last_failure_is_an_error(kept: Kept) -> None:
    app = App("memory://")

    @app.task("work", max_retry=1, retry=FixedRetry(0))
    async def work() -> None:
        raise ValueError("no")

    async with app, app.running():
        await work.enqueue()
        failed = await within(kept.event("task_failed"))
        retried = await within(kept.event("task_retried"))
    assert (retried.levelname, failed.levelname) == ("WARNING", "ERROR")
    assert (retried.__dict__["attempt"], failed.__dict__["attempt"]) == (1, 2)
    assert "ValueError: no; archived" in failed.getMessage()


async def test_a_task_without_a_handler_is_a_warning(kept: Kept) -> None:
    app = App("memory://")
    async with app, app.running():
        await app.enqueue(Task("nobody:knows"))
        deferred = await within(kept.event("task_deferred"))
    assert deferred.levelname == "WARNING"
    assert deferred.__dict__["retry_in"] == pytest.approx(30, abs=1)


# --- events ---------------------------------------------------------------------------------------

CALLS = log_calls.all_calls()
BY_AREA = {
    area: [call for call in CALLS if call.where.startswith(f"asynqio/{area}")]
    for area in sorted({re.split(r"[/.]", call.where)[1] for call in CALLS})
}


@pytest.mark.parametrize("area", BY_AREA)
def test_each_logging_call_has_an_event(area: str) -> None:
    without = [call.where for call in BY_AREA[area] if call.event is None]
    assert not without, f'no extra={{"event": "…", …}} with a literal name: {", ".join(without)}'
    wrong = [f"{call.where} {call.event}" for call in BY_AREA[area] if not EVENT.fullmatch(call.event or "")]
    assert not wrong, f"not in snake_case with two words or more: {wrong}"
    nameless = [call.where for call in BY_AREA[area] if not call.logger.startswith("asynqio.")]
    assert not nameless, f'no log = logging.getLogger("asynqio.…") in the module of {nameless}'


EVENT = re.compile(r"[a-z]+(_[a-z]+)+")


def test_the_reference_lists_each_event_once() -> None:
    listed = [row.event for row in log_calls.rows_of()]
    assert len(listed) > 60
    twice = sorted({event for event in listed if listed.count(event) > 1})
    assert not twice, f"docs/reference/logging.md lists these events twice: {twice}"
    in_source = {call.event: call.where for call in CALLS if call.event is not None}
    missing = {event: where for event, where in in_source.items() if event not in listed}
    assert not missing, f"docs/reference/logging.md does not list these events: {missing}"
    surplus = sorted(set(listed) - in_source.keys())
    assert not surplus, f"docs/reference/logging.md lists events that no call has: {surplus}"


@pytest.mark.parametrize("area", BY_AREA)
def test_the_reference_says_what_the_calls_do(area: str) -> None:
    rows = {row.event: row for row in log_calls.rows_of()}
    problems = []
    for call in BY_AREA[area]:
        row = rows.get(call.event or "")
        if row is None:
            continue  # the tests above name it
        if call.level and call.level not in row.levels:
            problems.append(f"{row.event}: {call.where} logs at {call.level}, listed: {sorted(row.levels)}")
        if call.logger not in row.loggers:
            problems.append(f"{row.event}: {call.where} logs to {call.logger}, listed: {sorted(row.loggers)}")
        if unlisted := call.fields - row.fields - set(FIELDS):
            problems.append(f"{row.event}: {call.where} has fields that are not listed: {sorted(unlisted)}")
        if not row.meaning:
            problems.append(f"{row.event} has no meaning")
    assert not problems, "docs/reference/logging.md: " + "; ".join(problems)


def test_the_scan_finds_what_is_wrong(tmp_path: Path) -> None:
    module = tmp_path / "src" / "module.py"
    module.parent.mkdir()
    module.write_text(
        'log = logging.getLogger("asynqio.x")\n'
        'log.info("a", extra={"event": "a_done", "count": 1, **more})\n'
        'log.exception("b")\n'
        'log.log(level, "c", extra={"event": name})\n'
    )
    found = log_calls.all_calls(module.parent)
    assert [(call.event, call.level, call.logger) for call in found] == [
        ("a_done", "INFO", "asynqio.x"),
        (None, "ERROR", "asynqio.x"),
        (None, "", "asynqio.x"),
    ]
    assert found[0].fields == {"count"}
