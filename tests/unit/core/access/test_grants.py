"""Access: denied by default, and a denial wins over every grant."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.access import grants
from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.grants import FULL_ACCESS, Access, Grant
from asynqio.core.access.roles import Role, grants_of
from asynqio.errors import AccessDenied

ENQUEUE = frozenset({Action.ENQUEUE})


@pytest.mark.requirement("SEC-GW-5")
def test_nothing_is_permitted_without_a_grant() -> None:
    access = Access([])
    for action in Action:
        assert not access.allows(action)
        assert not access.allows(action, "mail", "email:send")
        assert not access.allows_every_type(action, "mail")
    assert not access.everything


def test_a_grant_without_patterns_permits_nothing() -> None:
    for access in (Access([Grant(ENQUEUE, queues=())]), Access([Grant(ENQUEUE, types=())])):
        assert not access.allows(Action.ENQUEUE)
        assert not access.allows(Action.ENQUEUE, "mail", "email:send")


@pytest.mark.requirement("SEC-GW-5")
def test_a_denial_wins_in_any_order() -> None:
    parts = [
        Grant(frozenset(Action)),
        Grant(ENQUEUE, ("mail",), ("email:*",)),
        Grant(ENQUEUE, ("m*",), ("email:bulk",), deny=True),
    ]
    for order in itertools.permutations(parts):
        access = Access(order)
        assert not access.allows(Action.ENQUEUE, "mail", "email:bulk")
        assert access.allows(Action.ENQUEUE, "mail", "email:send")
        assert access.allows(Action.ENQUEUE, "web", "email:bulk")
        assert access.allows(Action.CANCEL, "mail", "email:bulk")
        assert access.allows(Action.ENQUEUE, "mail"), "for other types"
        assert access.allows(Action.ENQUEUE), "on other queues"
        assert not access.allows_every_type(Action.ENQUEUE, "mail")
        assert access.allows_every_type(Action.ENQUEUE, "web")
        assert not access.everything


def test_a_denial_of_all_queues_or_types_denies_the_action() -> None:
    access = Access(
        [FULL_ACCESS.grants[0], Grant(ENQUEUE, deny=True), Grant(frozenset({Action.RUN}), deny=True)]
    )
    assert not access.allows(Action.ENQUEUE)
    assert not access.allows(Action.RUN, "mail")
    assert access.allows(Action.CANCEL)
    by_type = Access([FULL_ACCESS.grants[0], Grant(ENQUEUE, types=("a",), deny=True)])
    assert not by_type.allows(Action.ENQUEUE, None, "a")
    assert by_type.allows(Action.ENQUEUE, None, "b")


def test_every_type_needs_one_grant_for_all_types() -> None:
    access = Access([Grant(ENQUEUE, ("mail",), ("email:*",)), Grant(ENQUEUE, ("web",), ("x", "**"))])
    assert access.allows(Action.ENQUEUE, "mail")
    assert not access.allows_every_type(Action.ENQUEUE, "mail")
    assert access.allows_every_type(Action.ENQUEUE, "web")
    assert not access.allows_every_type(Action.ENQUEUE, "other")


def test_full_access_permits_everything_and_says_so() -> None:
    assert FULL_ACCESS.everything
    assert all(FULL_ACCESS.allows(action, "mail", "email:send") for action in Action)
    assert FULL_ACCESS.allows_every_type(Action.DELETE, "mail")
    assert Access([Grant(frozenset({action})) for action in Action]).everything
    assert not Access(grants_of(Role.ADMIN)).everything
    assert not Access([Grant(frozenset(Action), ("mail",))]).everything
    assert not Access([Grant(frozenset(Action), types=("email:*",))]).everything
    assert not Access([*FULL_ACCESS.grants, Grant(ENQUEUE, ("no",), deny=True)]).everything


def test_access_to_all_tasks_is_no_access_to_the_gateway() -> None:
    access = Access([Grant(frozenset(Action) - MANAGEMENT)])
    assert access.everything
    for action in Action:
        assert access.allows(action) is (action not in MANAGEMENT)
        assert access.allows(action, "mail", "email:send") is (action not in MANAGEMENT)
    assert Access([*FULL_ACCESS.grants, Grant(MANAGEMENT, deny=True)]).everything
    assert not Access([*FULL_ACCESS.grants, Grant(MANAGEMENT, deny=True)]).allows(Action.READ_AUDIT)


def test_the_text_of_a_refusal_names_only_what_was_asked_for() -> None:
    access = Access([Grant(ENQUEUE, ("secret-queue",))])
    with pytest.raises(AccessDenied, match=r"^permission 'task:enqueue' is missing: ask") as none:
        Access([]).require(Action.ENQUEUE)
    assert (none.value.queue, none.value.type) == (None, None)
    with pytest.raises(AccessDenied) as denied:
        access.require(Action.ENQUEUE, "other")
    assert "secret-queue" not in str(denied.value)


def test_a_decision_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "REMEMBERED", 10)
    access = Access([Grant(ENQUEUE, ("q1*",))])
    for _ in range(2):
        for number in range(25):
            assert access.allows(Action.ENQUEUE, f"q{number}") is str(number).startswith("1")
            assert len(access._decided) <= 10
    access = Access([Grant(ENQUEUE, ("q*",))])
    assert access.allows(Action.ENQUEUE, "q" * 10_000)
    assert not access._decided, "a long name is not kept"


PATTERN = st.sampled_from(["*", "a*", "*b", "a", "ab", "?", "b?"])
GRANTS = st.lists(
    st.builds(
        Grant,
        st.frozensets(st.sampled_from([Action.ENQUEUE, Action.READ]), max_size=2),
        st.lists(PATTERN, max_size=2).map(tuple),
        st.lists(PATTERN, max_size=2).map(tuple),
        st.booleans(),
    ),
    max_size=4,
)
NAME = st.sampled_from(["a", "b", "ab", "ba", "abb"])


@given(GRANTS, NAME, NAME)
def test_access_is_at_least_one_grant_and_no_denial(made_of: list[Grant], queue: str, type: str) -> None:
    def concerned(grant: Grant) -> bool:
        return Access([msgspec.structs.replace(grant, deny=False)]).allows(Action.READ, queue, type)

    granted = [grant.deny for grant in made_of if concerned(grant)]
    access = Access(made_of)
    allowed = access.allows(Action.READ, queue, type)
    assert allowed is (bool(granted) and not any(granted))
    assert allowed is access.allows(Action.READ, queue, type), "as remembered"
    if allowed:
        assert access.allows(Action.READ, queue)
        assert access.allows(Action.READ, None, type)
        assert access.allows(Action.READ)
    if access.allows_every_type(Action.READ, queue):
        assert allowed


def test_grants_are_stored_as_json() -> None:
    made = Grant(frozenset({Action.ENQUEUE, Action.READ}), ("a*",), deny=True)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Grant) == made
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"actions": ["task:fly"]}', type=Grant)
    with pytest.raises(msgspec.ValidationError, match="must not be empty"):
        msgspec.json.decode(b'{"actions": [], "queues": [""]}', type=Grant)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"actions": [], "queue": ["a"]}', type=Grant)


def test_accesses_of_equal_grants_are_equal() -> None:
    one, other = Access(grants_of(Role.VIEWER)), Access(grants_of(Role.VIEWER))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Access(grants_of(Role.ADMIN))
    assert "Grant(" in repr(one)
