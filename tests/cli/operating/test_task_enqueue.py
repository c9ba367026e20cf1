"""`asynqio task enqueue` and `task edit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynqio import EnqueueError, Task
from asynqio.cli.output.terminal import Refused
from asynqio.cli.task.enqueue import _parse_line
from asynqio.core.task.options import OPTION_NAMES
from tests.cli.support.shell import NOW, Shell, matches_snapshot


def json_lines() -> st.SearchStrategy[bytes]:
    """JSON objects whose names are those of options, with any values."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    names = st.sampled_from(["type", "payload", "self", *OPTION_NAMES]) | st.text(max_size=5)
    return st.dictionaries(names, values, max_size=4).map(lambda fields: json.dumps(fields).encode())


def test_enqueue_with_all_options(shell: Shell) -> None:
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
    matches_snapshot("task-enqueue", shell("task", "enqueue", "-t", "a", "-i", "id-1"))
    at = shell(
        "task", "enqueue", "--type_name", "a", "--process_at", "2099-01-01T00:00:00+01:00", "--json"
    ).json
    assert at["next_process_at"] == 4_070_905_200


def test_payload_from_a_file_or_standard_input(shell: Shell, tmp_path: Path) -> None:
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


def test_ndjson(shell: Shell) -> None:
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


def test_edit_replaces_the_payload(shell: Shell) -> None:
    assert shell("task", "edit", "wait-1", "--payload-file", "-", "--json", input="new").json[0]["done"]
    assert shell("task", "inspect", "wait-1", "--json").json[0]["payload"] == "new"
    assert shell("task", "edit", "run-1", "--payload", "new").status == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"type":"a\xff"}', "is not UTF-8"),
        (b'{"type":"a","payload":"\xc0\x80"}', "is not UTF-8"),
        (b"[" * 5_000, "is nested too deeply"),
        (b'{"type":"a","payload":' + b"[" * 100_000, "is nested too deeply"),
        (b'{"type":"a","payload":"\\ud800"}', "is not JSON"),
        (b'{"type":"a"', "is not JSON"),
        (b'{"type":"a","self":1}', "self=1 is not an option"),
        (b'{"type":"a","headers":[1]}', "headers=[1] must map strings to strings"),
        (b'{"type":"a","process_in":1e999}', "is not JSON"),
        (b'{"type":"a","process_at":"0001-01-01T00:00:00+14:00"}', "is not a time in seconds"),
        (b'{"type":7}', "must be a string"),
        ('{"type":"a"}'.encode("utf-16"), "is not UTF-8"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_a_bad_line_is_named_and_the_others_are_enqueued(shell: Shell, line: bytes, problem: str) -> None:
    lines = b'\xef\xbb\xbf{"type":"good"}\n' + line.replace(b"\n", b"") + b'\r\n{"type":"good"}\r\n'
    done = shell("task", "enqueue", "--ndjson", "-", "--json", input=lines)
    assert (done.status, done.json) == (6, {"enqueued": 2, "refused": 1})
    [error] = done.err.splitlines()
    assert error.startswith("asynqio: line 2: ")
    assert problem in error


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=60) | json_lines(), max_size=5))
def test_no_line_ends_the_command(lines: list[bytes]) -> None:
    for line in lines:
        assert isinstance(_parse_line(line, "a"), Task | EnqueueError | Refused)
