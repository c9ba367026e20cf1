"""Paths with any characters."""

from __future__ import annotations

import asyncio
import os
import tempfile
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynqio.brokers import open_broker
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.sqlite.broker import SqliteBroker
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry

TASK = Entry(TaskMessage("a", "kind"))

#: The bytes of a file name: no slash, no NUL; short enough for the names of the files beside it.
NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).map(str.encode),
    st.text("#?%&=+ ;:@[]~.'\"\\\\\n\t\r\x7f\u00a0ä", min_size=1, max_size=20).map(str.encode),
    st.binary(min_size=1, max_size=20),
).filter(lambda name: not {0, 47} & set(name) and name.strip(b".") != b"")


@settings(max_examples=60, deadline=None)
@given(name=NAMES)
def test_any_path_can_be_named(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(os.fsencode(folder), name)
        opened = asyncio.run(_use(f"sqlite:///{quote(path)}"))
        # Its own URL names the same file, in this process and in others.
        assert open_broker(opened).url == opened
        assert asyncio.run(_count(opened)) == 1
        left = os.listdir(os.fsencode(folder))
        assert name in left
        # The log may stay until the next one opens the file.
        assert set(left) <= {name, name + b"-wal", name + b"-shm"}


async def _use(url: str) -> str:
    async with open_broker(url) as broker:
        with broker.watch([("pending", "default")]):
            assert await broker.enqueue([TASK]) == [Admission.ACCEPTED]
            return broker.private_url


async def _count(url: str) -> int:
    async with open_broker(url) as broker:
        return (await broker.stats(["default"]))[0].pending


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a#b.db", "a#b.db"),
        ("#", "#"),
        ("a b.db", "a b.db"),
        ("a ", "a "),
        ("100%.db", "100%.db"),
        ("50%25.db", "50%.db"),
        ("a%23b%3Fc%20.db", "a#b?c .db"),
        ("ü&=;+.db", "ü&=;+.db"),
        ("tab\there\nline.db", "tab\there\nline.db"),
        ("x.db\n", "x.db"),
        ("[::1.db", "[::1.db"),
        ("%FF.db", os.fsdecode(b"\xff.db")),
        (os.fsdecode(b"\xff.db"), os.fsdecode(b"\xff.db")),
        ("x.db?busy_timeout=2", "x.db"),
    ],
)
def test_characters_stand_for_themselves(written: str, name: str) -> None:
    broker = open_broker(f"sqlite:///{written}")
    assert isinstance(broker, SqliteBroker)
    assert broker._session.settings.path == name
