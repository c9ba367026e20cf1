"""`asynqio task run`, `archive`, `delete`, `move` and `cancel`."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Cancellation
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.cli.support.command import asynqio
from tests.cli.support.shell import Shell, matches_snapshot
from tests.conformance.helpers import put


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
def test_actions_by_id(shell: Shell, words: list[str], id: str, after: str) -> None:
    done = shell(*words, "--json")
    assert (done.status, done.json) == (0, [{"id": id, "done": True, "outcome": "done"}])
    assert state(shell, id) == after


def test_messages(shell: Shell) -> None:
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
        matches_snapshot(name, shell(*words))


def test_ids_from_standard_input(shell: Shell) -> None:
    ids = shell("task", "ls", "--where", "error=hopeless", "-o", "ids").out
    assert ids.split() == ["arch-2", "arch-1"]
    done = shell("task", "run", "--stdin", input=ids)
    assert (done.status, done.err) == (0, "")
    assert [state(shell, id) for id in ids.split()] == ["pending", "pending"]


def test_cancel_stops_running_tasks_and_deletes_waiting_ones(shell: Shell) -> None:
    done = shell("task", "cancel", "run-1", "wait-1", "arch-1", "member-1", "later-1", "--json")
    assert (done.status, done.json) == (
        6,
        [
            {"id": "run-1", "done": True, "outcome": "stopping"},
            {"id": "wait-1", "done": True, "outcome": "deleted"},
            {"id": "arch-1", "done": False, "outcome": "wrong_state"},
            {"id": "member-1", "done": True, "outcome": "deleted"},
            {"id": "later-1", "done": True, "outcome": "deleted"},
        ],
    )
    assert "task 'arch-1' is archived and cannot be cancelled" in done.err
    assert [state(shell, id) for id in ("run-1", "wait-1", "arch-1")] == ["active", "gone", "archived"]


def test_cancel_by_filter(shell: Shell) -> None:
    words = ("task", "cancel", "--yes", "--json")
    done = shell(*words, "--state", "active", "--all")
    assert done.json == {"action": "cancel", "dry_run": False, "seen": 1, "matched": 1, "done": 1}
    done = shell(*words, "-s", "pending", "-s", "aggregating", "--type", "click", "-q", "default")
    assert done.json == {"action": "cancel", "dry_run": False, "seen": 5, "matched": 3, "done": 3}
    done = shell(*words, "-s", "pending", "--all", "--max", "1")
    assert done.json["done"] == 1
    assert shell("task", "cancel", "-s", "archived", "--all", "--yes").status == 2
    assert shell("task", "ls", "-s", "pending", "-s", "active", "-o", "ids").out.split() == [
        "wait-2",
        "run-1",
        "low-1",
    ]


@pytest.mark.parametrize("option", ["--final", "--archive"])
def test_a_final_cancellation_archives(shell: Shell, tmp_path: Path, option: str) -> None:
    async def cancellations(store: Store, clock: FakeClock) -> list[Cancellation]:
        received = []

        async def listen() -> None:
            async for call in store.cancellations():
                received.append(call)
                if call.archive:
                    return

        listening = asyncio.create_task(listen())
        while not listening.done():
            assert (await asyncio.to_thread(cancel)).returncode == 0
            await asyncio.wait([listening], timeout=0.2)
        return received

    def cancel() -> subprocess.CompletedProcess[str]:
        words = ("task", "cancel", "run-1", option)
        return asynqio(*words, cwd=tmp_path, env={"ASYNQIO_BROKER": shell.url})

    assert shell.on_store(cancellations)[-1] == Cancellation(TaskRef("default", "run-1"), archive=True)


def test_move_to_another_queue(shell: Shell) -> None:
    done = shell("task", "move", "wait-1", "run-1", "--to", "slow", "--json")
    assert (done.status, [one["outcome"] for one in done.json]) == (6, ["done", "wrong_state"])
    assert shell("task", "inspect", "wait-1", "--json").json[0]["queue"] == "slow"
    words = ["task", "move", "--to", "slow", "--state", "archived"]
    done = shell(*words, "--type", "sms:*", "--dry-run")
    assert done.out == "1 task of 2 would be moved to queue slow; nothing was changed\n"
    done = shell(*words, "--type", "sms:*", "--yes", "--json")
    assert done.json == {"action": "move", "dry_run": False, "seen": 2, "matched": 1, "done": 1}
    assert shell("task", "ls", "-q", "slow", "-s", "archived", "-o", "ids").out == "arch-2\n"
    assert shell(*words, "--all", "--yes").out == "1 task moved to queue slow (1 examined)\n"
    assert shell("task", "move", "arch-1").status == 2, "no target queue"
    assert shell(*words, "--all", "--queue", "slow").status == 2, "already in that queue"
    shell("task", "enqueue", "-t", "a", "-i", "arch-1", "-q", "default")
    done = shell("task", "move", "arch-1", "-q", "default", "--to", "slow", "--json")
    assert (done.status, done.json[0]["outcome"]) == (1, "id_conflict")


def test_actions_by_filter(shell: Shell) -> None:
    words = ["task", "run", "--state", "archived", "--where", "payload.customer.id=7"]
    done = shell(*words, "--dry-run", "--json")
    assert done.json == {"action": "run", "dry_run": True, "seen": 2, "matched": 1, "done": 0}
    assert shell(*words, "--dry-run", "-o", "ids").out == "arch-1\n"
    assert shell(*words, "--dry-run").out == "1 task of 2 would be made pending; nothing was changed\n"
    assert state(shell, "arch-1") == "archived"
    done = shell(*words, "--yes", "--json")
    assert done.json == {"action": "run", "dry_run": False, "seen": 2, "matched": 1, "done": 1}
    assert (state(shell, "arch-1"), state(shell, "arch-2")) == ("pending", "archived")
    done = shell(
        "task", "delete", "-s", "pending", "-s", "archived", "-q", "default", "--all", "--max", "2", "--yes"
    )
    assert (done.status, done.out) == (0, "2 tasks deleted (3 examined)\n")


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["runall", "-q", "default", "-s", "archived"], 2),
        (["archiveall", "-q", "default", "-s", "aggregating", "-g", "page-1"], 2),
        (["deleteall", "--queue", "default", "--state", "completed"], 1),
    ],
)
def test_the_commands_of_asynqs_tool_for_all_tasks(shell: Shell, words: list[str], done: int) -> None:
    assert shell("task", *words).status == 2, "not without confirmation"
    assert shell("task", *words, "--yes", "--json").json["done"] == done


def test_an_id_in_two_queues_needs_a_queue(shell: Shell) -> None:
    async def twice(store: Store, clock: FakeClock) -> None:
        await put(store, entry("wait-1", queue="low"))

    shell.on_store(twice)
    done = shell("task", "delete", "wait-1")
    assert (done.status, done.err) == (
        2,
        "asynqio: queues 'default' and 'low' both have a task 'wait-1'; choose one with --queue\n",
    )
    assert shell("task", "delete", "wait-1", "--queue", "low").status == 0
    assert state(shell, "wait-1") == "pending"


def test_a_deleted_task_is_reported(shell: Shell) -> None:
    async def gone(store: Store, clock: FakeClock) -> None:
        await store.move(Action.DELETE, [TaskRef("default", "wait-1")])

    shell.on_store(gone)
    assert shell("task", "archive", "wait-1").status == 4
