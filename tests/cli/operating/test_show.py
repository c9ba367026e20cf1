"""Lists and details of queues, tasks, groups and servers: text and JSON."""

from __future__ import annotations

import re

import pytest

from asynqio.core.task.message import TaskState
from tests.cli.support.shell import NOW, Shell, matches_snapshot

COMMANDS = {
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


@pytest.mark.parametrize("name", COMMANDS)
def test_text(shell: Shell, name: str) -> None:
    done = shell(*COMMANDS[name])
    assert done.status == 0
    assert done.err == ""
    matches_snapshot(name, done._replace(out=re.sub(r"(?m)^(  node +).*$", r"\1NODE", done.out)))
    assert "\x1b" not in done.out, "payloads cannot control the terminal, and files have no colours"


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_the_only_output(shell: Shell, name: str) -> None:
    done = shell(*COMMANDS[name], "--json")
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


def test_an_address_means_redis_as_in_asynqs_tool(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNQIO_BROKER")
    where = shell.url.removeprefix("redis://")
    assert len(shell("queue", "ls", "--uri", where, "--json").json) == 2


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


def test_lists_have_pages_and_print_ids(shell: Shell) -> None:
    all_ids = shell("task", "ls", "-o", "ids").out.split()
    assert len(all_ids) == 12
    pages = [
        shell("task", "ls", "-o", "ids", "-n", "4", "--page", str(page)).out.split() for page in (1, 2, 3, 4)
    ]
    assert [len(page) for page in pages] == [4, 4, 4, 0]
    assert [id for page in pages for id in page] == all_ids
    assert (
        shell("task", "ls", "-q", "default", "-s", "archived", "-n", "1", "--page", "2", "-o", "ids").out
        == "arch-1\n"
    )
