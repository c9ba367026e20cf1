"""Scopes: no name of one tenant is ever a name of another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.access.scope import MAX_PREFIX, Scope

PREFIX = st.text("ab.-_1", min_size=1, max_size=4)
#: Separators, line breaks, other scripts, nothing: whatever a client may send.
NAME = st.one_of(st.text(max_size=12), st.text("ab:.{}/\n", max_size=6), st.just(""))


@pytest.mark.requirement("SEC-GW-6")
@given(PREFIX, NAME, PREFIX, NAME)
def test_two_names_are_stored_as_one_only_if_tenant_and_name_are_the_same(
    first: str, name: str, second: str, other: str
) -> None:
    stored, other_stored = Scope(first).stored(name), Scope(second).stored(other)
    assert (stored == other_stored) is ((first, name) == (second, other))
    assert Scope(first).owns(stored)
    assert Scope(first).shown(stored) == name
    assert Scope(second).owns(stored) is (first == second)


@pytest.mark.requirement("SEC-GW-6")
@given(PREFIX, PREFIX, NAME)
def test_a_name_that_looks_like_that_of_another_tenant_stays_within_its_own(
    own: str, other: str, name: str
) -> None:
    stored = Scope(own).stored(Scope(other).stored(name))
    assert Scope(own).owns(stored)
    assert Scope(other).owns(stored) is (own == other)


@pytest.mark.requirement("SEC-GW-6")
def test_a_prefix_that_begins_another_one_owns_none_of_its_queues() -> None:
    assert not Scope("a").owns(Scope("ab").stored("x"))
    assert not Scope("ab").owns(Scope("a").stored("bx"))
    assert not Scope("a").owns("a")
    assert not Scope("a").owns("")
    assert Scope("a").owns("a:")


@pytest.mark.parametrize(
    "prefix", ["a:b", ":", "a:", "a b", "a\n", "{a}", "}", "a*", "é", "\ud800", "a\0", "a" * (MAX_PREFIX + 1)]
)
def test_a_prefix_has_plain_characters_and_no_colon(prefix: str) -> None:
    with pytest.raises(ValueError, match="queue prefix"):
        Scope(prefix)


def test_another_tenants_queue_is_not_shown_and_its_name_not_told() -> None:
    with pytest.raises(ValueError, match="another tenant") as error:
        Scope("a").shown("b:payroll")
    assert "payroll" not in str(error.value)


def test_without_a_prefix_names_are_as_they_are() -> None:
    everything = Scope()
    for name in ("mail", "t1:mail", ":", ""):
        assert everything.stored(name) == name
        assert everything.owns(name)
        assert everything.shown(name) == name
