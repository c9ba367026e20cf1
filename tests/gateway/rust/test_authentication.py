"""A gateway with an account accepts Rust clients and consumers that know the password, and no others."""

from __future__ import annotations

import pytest

from asynqio import Inspector
from tests.gateway.rust.conftest import PASSWORD, USER
from tests.interop.rust.support.peers import Rust
from tests.interop.support.process import PeerError

#: In the process of the test, and in one of its own.
pytestmark = pytest.mark.parametrize("url", ["memory", "redis"], indirect=True)


@pytest.mark.requirement("SEC-GW-1")
async def test_wrong_credentials_are_refused(guarded: Rust) -> None:
    for user, password in ((USER, "wrong"), ("somebody", PASSWORD), (None, None)):
        with pytest.raises(PeerError, match=r"websocket: .*401 Unauthorized"):
            async with guarded.with_account(user, password).client():
                pass
    with pytest.raises(AssertionError, match="401 Unauthorized"):
        async with guarded.with_account(USER, "").server():
            pass


async def test_the_right_credentials_are_accepted(guarded: Rust, url: str) -> None:
    async with guarded.client() as client, guarded.server() as server, Inspector(url) as inspector:
        task = await client.enqueue("ok")
        await server.event("ended", id=task.id)
        [info] = await inspector.servers()
        assert info.pid == server.pid


@pytest.mark.requirement("SEC-GW-9")
async def test_after_failures_the_right_password_is_accepted_again_and_open_connections_stay(
    guarded: Rust,
) -> None:
    async with guarded.client() as client:
        for _ in range(3):
            with pytest.raises(PeerError, match="401 Unauthorized"):
                async with guarded.with_account(USER, "wrong").client():
                    pass
        await client.ping()
        async with guarded.client() as second:
            await second.ping()


async def test_without_an_account_credentials_are_ignored(rust: Rust) -> None:
    async with rust.with_account("anybody", "anything").client() as client:
        await client.ping()
