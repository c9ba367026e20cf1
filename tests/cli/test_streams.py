"""What standard streams and arguments can do to a command: it ends with one line and a documented status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.support.command import TIMEOUT, environment

#: Commands that print text, a table, JSON and logs.
COMMANDS = ["stats", "stats --json", "queue ls", "task ls --output json", "doctor", "config check", "version"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with one task, whose type not every encoding has."""
    url = f"sqlite:///{tmp_path}/tasks.db"
    done = run(["task", "enqueue", "-t", "☃:é", "-i", "snow"], url)
    assert done.returncode == 0, done.stderr
    return url


def run(
    words: Sequence[str | bytes],
    url: str,
    *,
    input: bytes = b"",
    redirect: str = "",
    **env: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a shell, with `redirect` after it."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -m asynqio "$@" {redirect}', sys.executable, *words],
        env={**environment(), "ASYNQIO_BROKER": url, "PYTHONUNBUFFERED": "", **env},
        input=input,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The only line of standard error."""
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("asynqio: ")
    return line


@pytest.mark.parametrize(
    ("words", "unbuffered"), [*((words, "") for words in COMMANDS), ("queue ls", "1"), ("stats --json", "1")]
)
@pytest.mark.parametrize(
    ("redirect", "reason"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
    ids=["closed", "full"],
)
def test_output_that_cannot_be_written(
    url: str, words: str, redirect: str, reason: str, unbuffered: str
) -> None:
    done = run(words.split(), url, redirect=redirect, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1, done.stderr
    assert one_line(done) == f"asynqio: standard output: {reason}"


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_stops_reading(url: str, words: str) -> None:
    done = run(words.split(), url, redirect='| exec true; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, done.stderr) in ((0, b""), (1, b""))  # 0: it wrote before the reader closed
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", "asynqio", *words.split()],
            env={**environment(), "ASYNQIO_BROKER": url},
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_data_is_printed_without_the_other_streams(url: str, redirect: str) -> None:
    done = run(["queue", "ls", "--json"], url, redirect=redirect)
    assert (done.returncode, done.stdout[:1]) == (0, b"["), done.stderr


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_the_status_is_right_without_standard_error(url: str, redirect: str) -> None:
    assert run(["queue", "inspect", "ghost"], url, redirect=redirect).returncode == 4
    assert run(["task", "delete"], url, redirect=redirect).returncode == 2


def test_closed_streams_are_not_taken_by_the_database(url: str) -> None:
    done = run(["task", "enqueue", "-t", "a"], url, redirect="<&- >&- 2>&-")
    assert done.returncode == 1
    done = run(["doctor", "--json"], url)
    assert b"corrupt" not in done.stdout
    assert run(["task", "inspect", "snow"], url).returncode == 0


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        *((words, "ascii") for words in [*COMMANDS, "task inspect snow", "explain snow", "task cancel snow"]),
        *(("task ls", encoding) for encoding in ("ascii", "latin-1", "cp1252")),
    ],
)
def test_an_encoding_that_lacks_a_character(url: str, words: str, encoding: str) -> None:
    done = run(words.split(), url, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    if words == "task ls":
        assert rb"\u2603" in done.stdout


def test_a_locale_that_is_not_utf_8(url: str, tmp_path: Path) -> None:
    file = tmp_path / "asynqio.toml"
    file.write_bytes("[server.queues]\n'é☃' = 2\n".encode())
    words = ["config", "check", "--config", str(file), "--json"]
    done = run(words, url, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr
    assert rb"\u00e9\u2603" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        [b"task", b"enqueue", b"-t", b"a\xff"],
        [b"task", b"enqueue", b"-t", b"a", b"-q", b"a\xff"],
        [b"task", b"enqueue", b"-t", b"a", b"-H", b"a=\xff"],
        [b"task", b"enqueue", b"-t", b"a", b"--unique", b"\xff"],
        [b"task", b"inspect", b"a\xff"],
        [b"task", b"delete", b"a\xff"],
        [b"task", b"ls", b"-q", b"a\xff"],
        [b"task", b"ls", b"--type", b"a\xff"],
        [b"task", b"ls", b"--where", b"type=\xff"],
        [b"queue", b"inspect", b"a\xff"],
        [b"queue", b"pause", b"a\xff"],
        [b"group", b"ls", b"-q", b"a\xff"],
        [b"server", b"inspect", b"a\xff"],
        [b"explain", b"a\xff"],
        [b"cron", b"run", b"a\xff"],
        [b"worker", b"a\xff:app"],
        [b"\xff"],
        [b"queue", b"ls", b"--broker", b"redis://\xff"],
    ],
    ids=repr,
)
def test_arguments_that_are_no_text(url: str, words: Sequence[bytes]) -> None:
    done = run(words, url)
    assert done.returncode in (1, 2, 4), done.stderr
    assert b"Traceback" not in done.stderr
    assert rb"\xff" in done.stderr or rb"\udcff" in done.stderr


def test_a_payload_may_be_any_bytes(url: str) -> None:
    done = run([b"task", b"enqueue", b"-t", b"a", b"--payload", b"\xff\xfe", b"--json"], url)
    assert b'"payload_base64": "//4="' in done.stdout


@pytest.mark.parametrize("file", [".", "none", "none/none"])
@pytest.mark.parametrize("option", ["--payload-file", "--ndjson"])
def test_a_file_that_cannot_be_read(url: str, tmp_path: Path, option: str, file: str) -> None:
    done = run(["task", "enqueue", "-t", "a", option, str(tmp_path / file)], url)
    assert done.returncode == 2
    assert "cannot be read: " in one_line(done)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("id", [" a", "a ", "a b", "\u00a0a\u3000", "\u2028a\x85b", "é☃", "-a", "--all"])
def test_any_id_goes_through_a_pipe(url: str, id: str, line_end: str) -> None:
    ended = run(["task", "enqueue", "-t", "a", f"--id={id}"], url)
    if "\x85" not in id:
        assert ended.returncode == 0, ended.stderr
        done = run(["task", "delete", "--stdin", "--json"], url, input=f"{id}{line_end}".encode())
        assert done.returncode == 0, done.stderr
    else:
        assert "must not contain control characters" in one_line(ended)


def test_ids_that_are_no_text_are_named_by_line(url: str) -> None:
    done = run(["task", "delete", "--stdin"], url, input=b"snow\n\n\xff\n")
    assert done.returncode == 2
    assert one_line(done) == "asynqio: line 3 of standard input is not UTF-8"
