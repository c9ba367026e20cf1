"""The text of API tokens: recognizable, and checked before anything is looked up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.gateway.principals.token_text import RANDOM_BYTES, digest_of, is_token, make_text

RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@pytest.mark.requirement("SEC-GW-3")
@given(RANDOM, RANDOM)
def test_a_token_has_a_prefix_and_256_random_bits(one: bytes, other: bytes) -> None:
    text = make_text(one)
    assert re.fullmatch("asq_[0-9A-Za-z]{49}", text)
    assert is_token(text)
    assert (text == make_text(other)) is (one == other)
    assert (digest_of(text) == digest_of(make_text(other))) is (one == other)


@pytest.mark.requirement("SEC-GW-3")
@given(RANDOM, st.integers(0, 52), st.sampled_from("0aZ_-é"))
def test_a_changed_character_does_not_fit_the_checksum(random: bytes, at: int, char: str) -> None:
    text = make_text(random)
    changed = text[:at] + char + text[at + 1 :]
    assert is_token(changed) is (changed == text)
    assert not is_token(text[:-1])
    assert not is_token(text + "0")


@pytest.mark.parametrize("text", ["", "asq_", "asq_" + "0" * 49, "asq_" + "é" * 49, "ghp_" + "a" * 49])
def test_other_texts_are_no_tokens(text: str) -> None:
    assert is_token(text) is (text == make_text(bytes(32)))


def test_the_form_is_fixed() -> None:
    assert make_text(bytes(32)).startswith("asq_" + "0" * 43)
    assert make_text(b"\xff" * 32).startswith("asq_")
    assert len(make_text(b"\xff" * 32)) == 53
    with pytest.raises(ValueError, match="32 random bytes"):
        make_text(b"short")
