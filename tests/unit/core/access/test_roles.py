"""The table of roles and permissions: each role, each action, permitted and forbidden queues and types."""

from __future__ import annotations

import pytest

from asynqio.core.access.actions import Action
from asynqio.core.access.grants import Access, Grant
from asynqio.core.access.roles import Role, grants_of
from asynqio.errors import AccessDenied

#: Which roles include an action. A "g" in the place of an "x": only by another grant.
TABLE = """
                 producer worker viewer operator admin monitor
task:enqueue     x        g      -      g        x     -
task:claim       -        x      -      -        -     -
task:read        x        x      x      x        x     -
payload:read     x        x      g      g        x     -
result:read      x        x      g      g        x     -
task:run         -        -      -      x        x     -
task:archive     -        -      -      x        x     -
task:cancel      -        -      -      x        x     -
task:delete      -        -      -      g        x     -
task:edit        -        -      -      g        x     -
queue:pause      -        -      -      x        x     -
queue:delete     -        -      -      -        x     -
schedule:read    -        -      x      x        x     -
schedule:write   -        -      -      -        x     -
schedule:run     -        -      -      x        x     -
server:read      -        -      x      x        x     -
server:control   -        -      -      x        x     -
event:read       x        x      x      x        x     -
metrics:read     -        -      -      -        x     x
audit:read       -        -      -      -        x     -
user:manage      -        -      -      -        x     -
token:manage     -        -      -      -        x     -
key:manage       -        -      -      -        x     -
tenant:manage    -        -      -      -        x     -
"""
_HEAD, *_ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (Role(role), Action(row[0]), cell)
    for row in _ROWS
    for role, cell in zip(_HEAD, row[1:], strict=True)
]  # fmt: skip


def test_the_table_has_every_role_and_action() -> None:
    assert {role for role, _, _ in CELLS} == set(Role)
    assert {action for _, action, _ in CELLS} == set(Action)


@pytest.mark.requirement("SEC-GW-5")
@pytest.mark.parametrize(("role", "action", "cell"), CELLS)
def test_a_role_permits_its_actions_on_its_queues_and_types_only(
    role: Role, action: Action, cell: str
) -> None:
    access = Access(grants_of(role, ["mail", "web-*"], ["email:*"]))
    included = cell == "x"
    assert access.allows(action, "mail", "email:send") is included
    assert access.allows(action, "web-1", "email:send") is included
    assert access.allows(action, "mail") is included
    assert access.allows(action, None, "email:send") is included
    assert access.allows(action) is included
    for queue, type in [
        ("other", "email:send"),
        ("mail", "image:resize"),
        ("mailx", "email:send"),
        ("xmail", "email:send"),
        ("x-web-1", "email:send"),
        ("mail", "xemail:send"),
        ("Mail", "email:send"),
        ("", ""),
    ]:
        assert not access.allows(action, queue, type), (queue, type)
    assert not access.allows(action, "other")
    assert not access.allows(action, None, "image:resize")


@pytest.mark.requirement("SEC-GW-5")
@pytest.mark.parametrize(("role", "action", "cell"), [cell for cell in CELLS if cell[2] == "g"])
def test_what_a_role_lacks_can_be_granted(role: Role, action: Action, cell: str) -> None:
    access = Access([*grants_of(role), Grant(frozenset({action}), ("mail",))])
    assert access.allows(action, "mail", "email:send")
    assert not access.allows(action, "other", "email:send")


@pytest.mark.requirement("SEC-GW-5")
@pytest.mark.parametrize(("role", "action", "cell"), CELLS)
def test_require_raises_what_is_missing(role: Role, action: Action, cell: str) -> None:
    access = Access(grants_of(role))
    if cell == "x":
        access.require(action, "mail", "email:send")
        return
    with pytest.raises(AccessDenied) as denied:
        access.require(action, "mail", "email:send")
    facts = (denied.value.action, denied.value.queue, denied.value.type)
    assert facts == (action, "mail", "email:send")
    assert str(denied.value).startswith(
        f"permission '{action}' on queue 'mail' for tasks of type 'email:send' is missing"
    )
