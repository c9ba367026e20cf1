"""The operator's commands: what scripts read, and what people see, on a file and on Redis."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Cancellation
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.fixtures import redis_url
from tests.builders import entry
from tests.cli.support.command import asynqio
from tests.cli.support.shell import NOW, Shell, furnish, same_as_picture
from tests.conformance.helpers import put


@pytest.fixture(autouse=True)
def no_blocking() -> None:
    """The loop of a command serves nobody else: it may print."""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store."""
    return f"sqlite:///{tmp_path}/tasks.db" if request.param == "sqlite" else redis_url()


@pytest.fixture
def shell(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Commands on a furnished store."""
    made = Shell(url, monkeypatch, capsys)
    made.on_store(furnish)
    return made


LOOKS = {
    "queue-ls": ["queue", "ls"],
    "queue-inspect": ["queue", "inspect", "default", "low"],
    "queue-history": ["queue", "history", "default", "-x", "3"],
    "task-ls": ["task", "ls"],
    "task-ls-pending": ["task", "ls", "-q", "default", "-s", "pending"],
    "task-ls-archived": ["task", "ls", "-q", "default", "-s", "archived"],
    "task-ls-retry": ["task", "ls", "-s", "retry"],
    "task-ls-completed": ["task", "ls", "-s", "completed"],
    "task-ls-aggregating": ["task", "ls", "-q", "default", "-s", "aggregating", "-g", "page-1"],
    "task-ls-filtered": ["task", "ls", "--where", "payload.customer.id=7", "--type", "email:*"],
    "task-inspect": ["task", "inspect", "retry-1", "run-1", "done-1", "wait-2"],
    "group-ls": ["group", "ls"],
    "server-ls": ["server", "ls"],
    "server-inspect": ["server", "inspect", "0f1e"],
    "stats": ["stats"],
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_people_see(shell: Shell, name: str) -> None:
    done = shell(*LOOKS[name])
    assert done.status == 0
    assert done.err == ""
    same_as_picture(name, done._replace(out=re.sub(r"(?m)^(  node +).*$", r"\1NODE", done.out)))
    assert "\x1b" not in done.out, "a payload must not move the cursor, nor is a file coloured"


@pytest.mark.parametrize("name", LOOKS)
def test_scripts_read_json_and_nothing_else(shell: Shell, name: str) -> None:
    done = shell(*LOOKS[name], "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json


def test_the_json_of_queues(shell: Shell) -> None:
    default, low = shell("queue", "ls", "--json").json
    assert (default["queue"], default["paused"], default["size"]) == ("default", False, 11)
    assert [default[state.value] for state in TaskState] == [2, 1, 1, 1, 2, 1, 3]
    assert (default["latency"], default["groups"], default["processed"], default["failed"]) == (3600, 2, 4, 3)
    assert (low["queue"], low["paused"], low["pending"]) == ("low", True, 1)
    assert shell("queue", "inspect", "low", "--json").json == [{**low, "paused_types": {}}]
    days = shell("queue", "history", "default", "--days", "2", "--json").json
    assert [(day["queue"], day["processed"], day["failed"]) for day in days] == [
        ("default", 4, 3),
        ("default", 0, 0),
    ]
    assert shell("queue", "list", "--json").json == [default, low]


def test_an_address_means_redis_as_in_gos_tool(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNQIO_BROKER")
    where = shell.url.removeprefix("redis://")
    assert len(shell("queue", "ls", "--uri", where, "--json").json) == 2
    assert shell("queue", "ls").status == 2, "nobody says where"


def test_the_json_of_tasks(shell: Shell) -> None:
    [first, second] = shell("task", "ls", "-q", "default", "-s", "pending", "--json").json
    assert first["id"] == "wait-1"
    assert first["payload"] == '{"customer":{"id":7}}'
    assert (first["pending_since"], first["deadline"]) == (NOW - 3600, None)
    assert (second["payload"], second["payload_base64"]) == (None, "/wA=")
    [failed] = shell("task", "inspect", "retry-1", "--json").json
    assert (failed["state"], failed["retried"], failed["last_error"]) == ("retry", 1, "ValueError: no")
    assert failed["headers"] == {"trace": "abc"}
    [running] = shell("task", "inspect", "--id", "run-1", "--queue", "default", "--json").json
    assert (running["state"], running["progress"], running["is_orphaned"]) == ("active", "0.5", False)


def test_the_json_of_groups_servers_and_stats(shell: Shell) -> None:
    groups = shell("group", "ls", "--queue", "default", "--json").json
    assert [(group["group"], group["size"]) for group in groups] == [("page-1", 2), ("page-2", 1)]
    [server] = shell("server", "ls", "--json").json
    assert (server["id"], server["queues"], server["concurrency"]) == (
        "0f1e2d3c",
        {"default": 6, "low": 1},
        10,
    )
    assert [(worker["id"], worker["payload"]) for worker in server["workers"]] == [("run-1", "{}")]
    assert shell("server", "inspect", "host:1", "--json").json == [server]
    stats = shell("stats", "--json").json
    assert (stats["aggregate"]["size"], stats["aggregate"]["servers"], stats["aggregate"]["running"]) == (
        12,
        1,
        1,
    )
    assert stats["broker"].partition(":")[0] == shell.url.partition(":")[0]
    [node] = stats["nodes"]
    assert node["version"].startswith(("SQLite 3.", "Redis 7.", "Redis 8."))
    assert 0 < node["used"] <= node["peak"]
    assert (node["connections"] > 0) == shell.url.startswith("redis")
    assert [queue["queue"] for queue in stats["queues"]] == ["default", "low"]


def test_lists_come_in_pages_and_ids(shell: Shell) -> None:
    everything = shell("task", "ls", "-o", "ids").out.split()
    assert len(everything) == 12
    pages = [
        shell("task", "ls", "-o", "ids", "-n", "4", "--page", str(page)).out.split() for page in (1, 2, 3, 4)
    ]
    assert [len(page) for page in pages] == [4, 4, 4, 0]
    assert [id for page in pages for id in page] == everything
    assert (
        shell("task", "ls", "-q", "default", "-s", "archived", "-n", "1", "--page", "2", "-o", "ids").out
        == "arch-1\n"
    )


# --- acting ---------------------------------------------------------------------------------------


def state(shell: Shell, id: str) -> str:
    done = shell("task", "inspect", id, "--json")
    return done.json[0]["state"] if done.json else "gone"


@pytest.mark.parametrize(
    ("words", "id", "after"),
    [
        (["task", "run", "arch-1"], "arch-1", "pending"),
        (["task", "run", "--id", "later-1", "--queue", "default"], "later-1", "pending"),
        (["task", "archive", "wait-1"], "wait-1", "archived"),
        (["task", "delete", "wait-1"], "wait-1", "gone"),
        (["task", "rm", "wait-1"], "wait-1", "gone"),
        (["task", "remove", "wait-1"], "wait-1", "gone"),
    ],
)
def test_tasks_are_moved_by_id(shell: Shell, words: list[str], id: str, after: str) -> None:
    done = shell(*words, "--json")
    assert (done.status, done.json) == (0, [{"id": id, "done": True, "outcome": "done"}])
    assert state(shell, id) == after


def test_what_acting_says(shell: Shell) -> None:
    for name, words in {
        "task-run": ["task", "run", "arch-1", "arch-2"],
        "task-archive": ["task", "archive", "wait-1", "nobody", "run-1"],
        "task-delete": ["task", "delete", "nobody"],
        "task-cancel": ["task", "cancel", "run-1"],
        "task-move": ["task", "move", "wait-1", "nobody", "run-1", "--to", "slow"],
        "task-edit": ["task", "edit", "wait-2", "--payload", "new"],
        "queue-pause": ["queue", "pause", "default", "low"],
        "queue-resume": ["queue", "resume", "default"],
        "queue-pause-type": ["queue", "pause", "default", "--type", "email:send", "--type", "report"],
        "queue-inspect-paused-types": ["queue", "inspect", "default"],
        "queue-resume-type": ["queue", "resume", "default", "-t", "email:send"],
        "queue-rm": ["queue", "rm", "low"],
        "queue-rm-unknown": ["queue", "rm", "ghost"],
    }.items():
        same_as_picture(name, shell(*words))


def test_ids_go_through_pipes(shell: Shell) -> None:
    ids = shell("task", "ls", "--where", "error=hopeless", "-o", "ids").out
    assert ids.split() == ["arch-2", "arch-1"]
    done = shell("task", "run", "--stdin", input=ids)
    assert (done.status, done.err) == (0, "")
    assert [state(shell, id) for id in ids.split()] == ["pending", "pending"]


def test_canceling_takes_running_tasks_only(shell: Shell) -> None:
    assert shell("task", "cancel", "run-1", "--json").json == [
        {"id": "run-1", "done": True, "outcome": "done"}
    ]
    done = shell("task", "cancel", "run-1", "wait-1", "--json")
    assert (done.status, [one["outcome"] for one in done.json]) == (6, ["done", "wrong_state"])
    assert "is pending: it cannot be told to stop now" in done.err
    done = shell("task", "cancel", "--state", "active", "--all", "--yes", "--json")
    assert done.json == {"action": "cancel", "dry_run": False, "seen": 1, "matched": 1, "done": 1}


def test_canceled_tasks_are_archived_if_one_says_so(shell: Shell, tmp_path: Path) -> None:
    async def told(store: Store, clock: FakeClock) -> list[Cancellation]:
        heard = []

        async def listen() -> None:
            async for call in store.cancellations():
                heard.append(call)
                if call.archive:
                    return

        listening = asyncio.create_task(listen())
        while not listening.done():
            assert (await asyncio.to_thread(cancel)).returncode == 0
            await asyncio.wait([listening], timeout=0.2)
        return heard

    def cancel() -> subprocess.CompletedProcess[str]:
        words = ("task", "cancel", "run-1", "--archive")
        return asynqio(*words, cwd=tmp_path, env={"ASYNQIO_BROKER": shell.url})

    assert shell.on_store(told)[-1] == Cancellation(TaskRef("default", "run-1"), archive=True)


def test_tasks_are_put_into_another_queue(shell: Shell) -> None:
    done = shell("task", "move", "wait-1", "run-1", "--to", "slow", "--json")
    assert (done.status, [one["outcome"] for one in done.json]) == (6, ["done", "wrong_state"])
    assert shell("task", "inspect", "wait-1", "--json").json[0]["queue"] == "slow"
    words = ["task", "move", "--to", "slow", "--state", "archived"]
    done = shell(*words, "--type", "sms:*", "--dry-run")
    assert done.out == "1 task would be moved to queue slow (2 there); nothing was done\n"
    done = shell(*words, "--type", "sms:*", "--yes", "--json")
    assert done.json == {"action": "move", "dry_run": False, "seen": 2, "matched": 1, "done": 1}
    assert shell("task", "ls", "-q", "slow", "-s", "archived", "-o", "ids").out == "arch-2\n"
    assert shell(*words, "--all", "--yes").out == "1 task moved to queue slow (1 looked at)\n"
    assert shell("task", "move", "arch-1").status == 2, "where to?"
    assert shell(*words, "--all", "--queue", "slow").status == 2, "they are there"
    shell("task", "enqueue", "-t", "a", "-i", "arch-1", "-q", "default")
    done = shell("task", "move", "arch-1", "-q", "default", "--to", "slow", "--json")
    assert (done.status, done.json[0]["outcome"]) == (1, "id_conflict")


def test_a_type_is_paused_and_resumed(shell: Shell) -> None:
    words = ["default", "--type", "report", "--json"]
    assert shell("queue", "pause", *words).json == [{"queue": "default", "done": True, "outcome": "paused"}]
    assert shell("queue", "inspect", "default", "--json").json[0]["paused_types"] == {"report": NOW}
    assert shell("queue", "resume", *words).json[0]["outcome"] == "resumed"
    assert shell("queue", "resume", *words).json[0]["outcome"] == "unchanged"


def test_all_that_match_are_acted_on(shell: Shell) -> None:
    words = ["task", "run", "--state", "archived", "--where", "payload.customer.id=7"]
    done = shell(*words, "--dry-run", "--json")
    assert done.json == {"action": "run", "dry_run": True, "seen": 2, "matched": 1, "done": 0}
    assert shell(*words, "--dry-run", "-o", "ids").out == "arch-1\n"
    assert shell(*words, "--dry-run").out == "1 task would be made pending (2 there); nothing was done\n"
    assert state(shell, "arch-1") == "archived"
    done = shell(*words, "--yes", "--json")
    assert done.json == {"action": "run", "dry_run": False, "seen": 2, "matched": 1, "done": 1}
    assert (state(shell, "arch-1"), state(shell, "arch-2")) == ("pending", "archived")
    done = shell(
        "task", "delete", "-s", "pending", "-s", "archived", "-q", "default", "--all", "--max", "2", "--yes"
    )
    assert (done.status, done.out) == (0, "2 tasks deleted (3 looked at)\n")


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["runall", "-q", "default", "-s", "archived"], 2),
        (["archiveall", "-q", "default", "-s", "aggregating", "-g", "page-1"], 2),
        (["deleteall", "--queue", "default", "--state", "completed"], 1),
    ],
)
def test_the_commands_of_gos_tool_for_all_tasks(shell: Shell, words: list[str], done: int) -> None:
    assert shell("task", *words).status == 2, "not without being asked"
    assert shell("task", *words, "--yes", "--json").json["done"] == done


def test_a_queue_is_paused_resumed_and_removed(shell: Shell) -> None:
    assert shell("queue", "pause", "default", "--json").json == [
        {"queue": "default", "done": True, "outcome": "paused"}
    ]
    assert shell("queue", "unpause", "default", "low", "--json").json[1]["outcome"] == "resumed"
    done = shell("queue", "rm", "low", "--json")
    assert (done.status, done.json[0]["outcome"]) == (1, "wrong_state")
    assert shell("queue", "rm", "low", "--force").status == 2
    done = shell("queue", "delete", "low", "--force", "--yes", "--json")
    assert (done.status, done.json) == (0, [{"queue": "low", "done": True, "outcome": "removed"}])
    assert len(shell("queue", "ls", "--json").json) == 1


# --- putting in -----------------------------------------------------------------------------------


def test_a_task_is_enqueued_with_all_its_options(shell: Shell) -> None:
    done = shell(
        *(
            "task",
            "enqueue",
            "--type",
            "email:send",
            "--payload",
            '{"to":"ann"}',
            "--queue",
            "new",
            "--id",
            "mine",
        ),
        *("--retry", "3", "--timeout", "1m30s", "--retention", "7d", "--process-in", "1h", "--unique", "2h"),
        *("--deadline", "2099-01-01T00:00:00Z", "-H", "a=b=c", "--json"),
    )
    task = done.json
    assert (task["id"], task["queue"], task["state"], task["payload"]) == (
        "mine",
        "new",
        "scheduled",
        '{"to":"ann"}',
    )
    assert (task["max_retry"], task["timeout"], task["retention"]) == (3, 90, 604_800)
    assert (task["next_process_at"], task["headers"]) == (NOW + 3600, {"a": "b=c"})
    assert shell("task", "inspect", "mine", "--json").json[0]["deadline"] == task["deadline"] == 4_070_908_800
    same_as_picture("task-enqueue", shell("task", "enqueue", "-t", "a", "-i", "id-1"))
    at = shell(
        "task", "enqueue", "--type_name", "a", "--process_at", "2099-01-01T00:00:00+01:00", "--json"
    ).json
    assert at["next_process_at"] == 4_070_905_200


def test_a_payload_comes_from_a_file_or_from_standard_input(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"\xff\xfe")
    assert (
        shell("task", "enqueue", "-t", "a", "--payload-file", str(file), "--json").json["payload_base64"]
        == "//4="
    )
    piped = shell("task", "enqueue", "-t", "a", "--payload-file", "-", "--json", input='{"n":1}\n')
    assert piped.json["payload"] == '{"n":1}\n'
    done = shell("task", "enqueue", "-t", "a", "--payload-file", str(tmp_path / "none"))
    assert (done.status, done.out) == (2, "")
    assert "cannot be read: No such file" in done.err


def test_many_tasks_are_enqueued_from_lines(shell: Shell) -> None:
    lines = [f'{{"type":"bulk","payload":{{"n":{number}}},"task_id":"n{number}"}}' for number in range(2_500)]
    lines[3:3] = [
        "",
        "nonsense",
        "[]",
        '{"type":"bulk","colour":1}',
        '{"type":"bulk","task_id":"n0"}',
        '{"payload":1}',
    ]
    lines.append('{"queue":"high","process_in":"1h"}')
    done = shell("task", "enqueue", "--ndjson", "-", "-q", "many", "--json", input="\n".join(lines))
    assert (done.status, done.json) == (6, {"enqueued": 2_500, "refused": 6})
    assert [line.partition(":")[2].split(":")[0].strip() for line in done.err.splitlines()] == [
        *("line 5", "line 6", "line 7", "line 8", "line 9", "line 2507")
    ]
    [task] = shell("task", "inspect", "n2499", "--json").json
    assert (task["queue"], task["payload"]) == ("many", '{"n":2499}')
    done = shell(
        "task", "enqueue", "--ndjson", "-", "-t", "bulk", input='{"queue":"high","process_in":"1h"}\n'
    )
    assert (done.status, done.out) == (0, "1 task enqueued, 0 refused\n")
    assert [task["state"] for task in shell("task", "ls", "-q", "high", "--json").json] == ["scheduled"]


def test_a_payload_is_edited(shell: Shell) -> None:
    assert shell("task", "edit", "wait-1", "--payload-file", "-", "--json", input="new").json[0]["done"]
    assert shell("task", "inspect", "wait-1", "--json").json[0]["payload"] == "new"
    assert shell("task", "edit", "run-1", "--payload", "new").status == 1


# --- exit statuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, ["queue", "ls"]),
        (1, ["task", "run", "run-1"]),
        (1, ["task", "enqueue", "-t", "a", "-i", "wait-1"]),
        (2, ["task", "delete", "--state", "pending", "--all"]),
        (2, ["task", "delete", "--all"]),
        (2, ["task", "delete"]),
        (2, ["task", "delete", "wait-1", "--all"]),
        (2, ["task", "delete", "--state", "pending", "--all", "--type", "a"]),
        (2, ["task", "run", "--state", "pending", "--all", "--yes"]),
        (2, ["task", "ls", "--where", "colour=red"]),
        (2, ["task", "ls", "--older-than", "soon"]),
        (2, ["task", "ls", "--state", "nowhere"]),
        (2, ["task", "enqueue"]),
        (2, ["task", "enqueue", "-t", ""]),
        (2, ["task", "enqueue", "-t", "a", "--timeout", "soon"]),
        (2, ["task", "enqueue", "-t", "a", "--deadline", "soon"]),
        (2, ["task", "enqueue", "-t", "a", "--deadline", "2099-01-01T00:00:00"]),
        (2, ["task", "enqueue", "-t", "a", "-H", "novalue"]),
        (2, ["task", "edit", "wait-1"]),
        (2, ["queue", "ls", "--broker", "nonsense://"]),
        (2, ["queue", "rm", "default", "low", "--force"]),
        (4, ["queue", "inspect", "ghost"]),
        (4, ["queue", "pause", "ghost"]),
        (4, ["queue", "rm", "ghost"]),
        (4, ["task", "ls", "-q", "ghost"]),
        (4, ["task", "inspect", "nobody"]),
        (4, ["task", "delete", "nobody"]),
        (4, ["task", "delete", "wait-1", "--queue", "ghost"]),
        (4, ["group", "ls", "-q", "ghost"]),
        (4, ["server", "inspect", "nobody"]),
        (6, ["task", "delete", "nobody", "wait-1"]),
        (6, ["task", "inspect", "nobody", "wait-1"]),
        (6, ["queue", "pause", "ghost", "low"]),
        (6, ["server", "inspect", "0f1e2d3c", "nobody"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_exit_status(shell: Shell, status: int, words: list[str]) -> None:
    done = shell(*words)
    assert done.status == status, done.err
    assert bool(done.err) is bool(status)


def test_an_id_in_two_queues_needs_its_queue(shell: Shell) -> None:
    async def twice(store: Store, clock: FakeClock) -> None:
        await put(store, entry("wait-1", queue="low"))

    shell.on_store(twice)
    done = shell("task", "delete", "wait-1")
    assert (done.status, done.err) == (
        2,
        "asynqio: queues 'default' and 'low' both have a task 'wait-1': say which with --queue\n",
    )
    assert shell("task", "delete", "wait-1", "--queue", "low").status == 0
    assert state(shell, "wait-1") == "pending"


def test_an_empty_store_is_no_error(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Shell(url, monkeypatch, capsys)
    for words in (["queue", "ls"], ["task", "ls"], ["group", "ls"], ["server", "ls"]):
        assert empty(*words, "--json").json == []
        assert empty(*words).status == 0
    assert empty("stats", "--json").json["queues"] == []


def test_a_task_that_is_gone_meanwhile_is_told(shell: Shell) -> None:
    async def gone(store: Store, clock: FakeClock) -> None:
        await store.move(Action.DELETE, [TaskRef("default", "wait-1")])

    shell.on_store(gone)
    assert shell("task", "archive", "wait-1").status == 4
