"""The key of a uniqueness lock, compared with keys that Go computed."""

from __future__ import annotations

import pytest

from asynqio.core.task.unique import unique_key

PREFIX = "asynq:{default}:unique:email:welcome:"


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b'{"user_id":42}', PREFIX + "1181f89307fa271072c095747d5813cc"),
        (b"", PREFIX + "d41d8cd98f00b204e9800998ecf8427e"),
        (None, PREFIX),
    ],
)
def test_the_key_is_gos_key(payload: bytes | None, key: str) -> None:
    assert unique_key("default", "email:welcome", payload) == key


def test_queue_type_and_payload_each_make_a_difference() -> None:
    keys = {unique_key(q, t, p) for q in ("a", "b") for t in ("x", "y") for p in (None, b"", b"1", b"2")}
    assert len(keys) == 16
