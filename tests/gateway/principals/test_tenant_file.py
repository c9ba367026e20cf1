"""The tenant file: every problem at once, by index and field, and never a password."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asynqio.errors import ConfigError
from asynqio.gateway.principals.tenant_file import MAX_FILE, TenantEntry, load_tenant_file
from tests.gateway.principals.helpers import CountingHasher

HASH = CountingHasher(memory_cost=64).hash("s3cret")
PREFIX = "must consist of letters (a-z, A-Z), digits, dots, hyphens and underscores"
CANARY = "canary-password"
README = [
    {"id": "tenant1", "username": "tenant1_user", "password": "tenant1_password", "queue_prefix": "tenant1"},
    {"id": "tenant2", "username": "tenant2_user", "password": "tenant2_password", "queue_prefix": "tenant2"},
]


def write(folder: Path, content: Any, mode: int = 0o600) -> Path:
    path = folder / "tenants.json"
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    path.write_bytes(content)
    path.chmod(mode)
    return path


def problems(folder: Path, content: Any, **options: bool) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_tenant_file(write(folder, content), **options)
    assert CANARY not in str(error.value)
    return [text.removeprefix(f"tenant file {folder}/tenants.json: ") for text in error.value.problems]


def test_the_file_of_asynq_server_is_read(tmp_path: Path) -> None:
    assert load_tenant_file(write(tmp_path, README)) == [
        TenantEntry(
            id=f"tenant{number}",
            username=f"tenant{number}_user",
            password=f"tenant{number}_password",
            queue_prefix=f"tenant{number}",
        )
        for number in (1, 2)
    ]


@pytest.mark.parametrize("extra", [{}, {"queue_prefix": None}])
def test_the_prefix_is_the_id_if_it_is_not_given(tmp_path: Path, extra: dict[str, None]) -> None:
    [entry] = load_tenant_file(
        write(tmp_path, [{"id": "acme_corp", "username": "acme", "password": "x", **extra}])
    )
    assert entry.queue_prefix == "acme_corp"


def test_a_file_may_be_empty_have_hashes_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load_tenant_file(write(tmp_path, [])) == []
    assert load_tenant_file(write(tmp_path, b"\xef\xbb\xbf[]")) == []
    hashed = [{"id": "a", "username": "a", "password_hash": HASH}]
    [entry] = load_tenant_file(write(tmp_path, hashed), production=True)
    assert (entry.password, entry.password_hash) == ("", HASH)


def test_every_problem_is_listed_with_index_and_field(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        [
            {"id": "a", "username": "a", "password": CANARY},
            {"id": "a", "username": "b:c", "password": ""},
            {"username": 5, "password": [CANARY], "queue_prefx": CANARY},
            {"id": "b", "username": "a", "password": CANARY, "queue_prefix": "a"},
            "tenant",
            {"id": "c", "username": "c"},
            {"id": "d", "username": "d", "password": CANARY, "password_hash": HASH},
            {"id": "e", "username": "e", "password_hash": CANARY},
            {"id": "f:g", "username": "f", "password": CANARY},
            {"id": "h", "username": "h", "password": CANARY, "queue_prefix": "h:i"},
            {"id": " ", "username": "\n", "password": CANARY, "queue_prefix": ""},
            {"id": "j", "username": "j", "password": CANARY, "queue_prefix": "k"},
            {"id": "k", "username": "k", "password": CANARY},
        ],
    )
    assert found == [
        "[1].username must not contain a colon: Basic authentication ends the user name at the first one",
        "[1].password must not be empty",
        "[1].id 'a' is that of [0] as well",
        "[2].id is missing",
        "[2].username must be a string, not a number",
        "[2].password must be a string, not an array",
        "[2].queue_prefx is unknown: write id, username, password, password_hash, queue_prefix",
        "[3].username 'a' is that of [0] as well",
        "[3].queue_prefix 'a' is that of [0] as well",
        "[4] must be an object, not a string",
        "[5].password is missing",
        "[6].password and password_hash exclude each other",
        "[7].password_hash must be an Argon2id hash, which starts with $argon2id$",
        f"[8].id is the queue prefix, since queue_prefix is not given, and as such it {PREFIX}",
        f"[9].queue_prefix {PREFIX}",
        "[10].id must not be empty",
        "[10].username must not be empty",
        "[10].queue_prefix must not be empty",
        "[12].id 'k' is the queue_prefix of [11]: give another queue_prefix",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'[\n  {"id": "a",}\n]', "is not JSON: line 2, column 14: "),
        (b"", "is not JSON: line 1, column 1: Expecting value"),
        (b'[{"password": "' + CANARY.encode(), "is not JSON: line 1, column 15: Unterminated string"),
        (b'[\n"\xff"]', "is not UTF-8: line 2, column 2"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"id": "a"}', "must be a JSON array of tenants, not an object"),
        (b"null", "must be a JSON array of tenants, not null"),
        (b"true", "must be a JSON array of tenants, not a boolean"),
        (b" " * (MAX_FILE + 1), "has more than 16,777,216 bytes"),
    ],
)
def test_a_file_that_is_no_array_is_one_problem_with_its_place(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    [found] = problems(tmp_path, content)
    assert found.startswith(problem)


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tenant file .*none\.json: cannot be read: No such file"):
        load_tenant_file(tmp_path / "none.json")


@pytest.mark.requirement("SEC-SECRET-2")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_open_to_others_is_refused_in_production_and_warned_of_elsewhere(
    tmp_path: Path, mode: int, logged: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, [{"id": "a", "username": "a", "password_hash": HASH}], mode)
    with pytest.raises(ConfigError, match="its group or others can access it: run chmod 600"):
        load_tenant_file(path, production=True)
    assert not logged.records
    assert len(load_tenant_file(path)) == 1
    assert [record.__dict__["event"] for record in logged.records] == ["tenant_file_exposed"]


@pytest.mark.requirement("SEC-GW-4")
def test_plain_passwords_are_refused_in_production_and_warned_of_elsewhere(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    assert problems(tmp_path, README, production=True) == [
        f"[{index}].password is plain text: give its Argon2id hash as password_hash" for index in (0, 1)
    ]
    load_tenant_file(write(tmp_path, README))
    [record] = logged.records
    assert (record.__dict__["event"], record.__dict__["count"]) == ("tenant_passwords_plain", 2)
    assert "tenant1_password" not in logged.text


def test_all_problems_of_production_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, [{"id": "a", "username": "a:b", "password": CANARY}], 0o644)
    with pytest.raises(ConfigError) as error:
        load_tenant_file(path, production=True)
    assert len(error.value.problems) == 3
