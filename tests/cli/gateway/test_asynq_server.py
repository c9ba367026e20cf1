"""The page of asynq-server, followed with `asynqio gateway` in place of its program."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.cli.support.command import Command, asynqio, command
from tests.gateway.asynq.client import task_fields

READY = r"the gateway listens on http://(\S+),"
TENANTS = [
    {"id": name, "username": f"{name}_user", "password": f"{name}_password", "queue_prefix": name}
    for name in ("tenant1", "tenant2")
]


def address(gateway: Command) -> str:
    return gateway.line(READY)[1]


def login(where: str, username: str = "", password: str = "") -> ClientConnection:
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {encoded}"} if username else {}
    return connect(f"ws://{where}/ws", additional_headers=headers)


def call(client: ClientConnection, type: str, data: object = None) -> Any:
    client.send(json.dumps({"type": type, "data": data} if data is not None else {"type": type}))
    return json.loads(client.recv(timeout=30))


def curl(folder: Path, script: str) -> Any:
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def write_tenants(folder: Path, tenants: object) -> dict[str, str]:
    """Write tenants.json, for its owner only; returns the environment that names it."""
    path = folder / "tenants.json"
    path.write_text(json.dumps(tenants))
    path.chmod(0o600)
    return {"ASYNQ_TENANT_CONFIG": "tenants.json", "ASYNQ_SERVER_ADDR": "127.0.0.1:0"}


def test_no_authentication(tmp_path: Path) -> None:
    with command("gateway", cwd=tmp_path, env={"ASYNQ_SERVER_ADDR": "127.0.0.1:0"}) as gateway:
        where = address(gateway)
        health = ["curl", "-s", f"http://{where}/health"]
        assert subprocess.run(health, capture_output=True, check=True).stdout == b"OK"
        with login(where) as client:
            assert call(client, "enqueue", task_fields())["type"] == "task_info"


def test_one_account(tmp_path: Path) -> None:
    secret = subprocess.run(["openssl", "rand", "-base64", "32"], capture_output=True, text=True, check=True)
    password = secret.stdout.strip()
    env = {"ASYNQ_USERNAME": "admin", "ASYNQ_PASSWORD": password, "ASYNQ_SERVER_ADDR": "127.0.0.1:0"}
    with command("gateway", cwd=tmp_path, env=env) as gateway:
        where = address(gateway)
        for wrong in (("", ""), ("admin", "wrong"), ("other", password)):
            with pytest.raises(InvalidStatus) as refused:
                login(where, *wrong)
            assert refused.value.response.status_code == 401
        with login(where, "admin", password) as client:
            assert call(client, "ping") == {"type": "pong"}
        # "Review server logs": a wrong password for a known account is named, the password is not.
        assert "authentication from 127.0.0.1 failed for 'admin'" in gateway.line("authentication").string
    assert password not in gateway.text


def test_tenants_of_a_file(tmp_path: Path) -> None:
    env = write_tenants(tmp_path, TENANTS)
    store = f"sqlite:///{tmp_path}/tasks.db"
    with command("gateway", "--broker", store, cwd=tmp_path, env=env) as gateway:
        where = address(gateway)
        with (
            login(where, "tenant1_user", "tenant1_password") as first,
            login(where, "tenant2_user", "tenant2_password") as second,
        ):
            assert call(first, "enqueue", task_fields(task_id="same"))["data"]["queue"] == "default"
            assert call(second, "dequeue", {"queues": ["default"]})["data"] is None
            call(second, "enqueue", task_fields(task_id="same"))
            task = call(first, "dequeue", {"queues": ["default"]})["data"]
            done = {"task_id": task["id"], "queue": task["queue"], "task_type": "", "payload": ""}
            assert call(first, "done", done) == {"type": "success"}
        # "Verify queue names include tenant prefix"
        listed = json.loads(asynqio("queue", "ls", "--json", "--broker", store, cwd=tmp_path).stdout)
        assert [queue["queue"] for queue in listed] == ["tenant1:default", "tenant2:default"]
    assert "can access it" not in gateway.text


def test_tenants_at_run_time(tmp_path: Path) -> None:
    env = write_tenants(tmp_path, [])
    store = f"sqlite:///{tmp_path}/tasks.db"
    new = {
        "id": "dynamic_tenant",
        "username": "dynamic_user",
        "password": "dynamic_password",
        "queue_prefix": "dynamic",
    }
    with command("gateway", "--broker", store, cwd=tmp_path, env=env) as gateway:
        url = f"http://{address(gateway)}/api/tenants"
        post = f"curl -s -X POST {url} -H 'Content-Type: application/json' -d '{json.dumps(new)}'"
        assert curl(tmp_path, post) == {
            "message": "Tenant added successfully",
            "tenant_id": "dynamic_tenant",
            "username": "dynamic_user",
        }
        assert curl(tmp_path, f"curl -s {url}") == {"tenants": ["dynamic_tenant"], "count": 1}
    # asynq-server forgets such tenants when it restarts.
    with command("gateway", "--broker", store, cwd=tmp_path, env=env) as gateway:
        where = address(gateway)
        url = f"http://{where}/api/tenants"
        with login(where, "dynamic_user", "dynamic_password") as client:
            assert call(client, "ping") == {"type": "pong"}
        assert curl(tmp_path, f"curl -s -X DELETE {url}/dynamic_user") == {
            "message": "Tenant removed successfully",
            "tenant_id": "dynamic_tenant",
            "username": "dynamic_user",
        }
        with pytest.raises(InvalidStatus):
            login(where, "dynamic_user", "dynamic_password")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"id": "a",}]', "line 1"),
        ('[{"id": "a"}]', "username"),
        ("{}", "array"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_configuration_that_does_not_load_says_why(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "tenants.json").write_text(text)
    done = asynqio("gateway", cwd=tmp_path, env={"ASYNQ_TENANT_CONFIG": "tenants.json"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "tenants.json" in done.stderr
    assert problem in done.stderr
