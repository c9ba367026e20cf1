"""Credentials as they arrive."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.errors import AuthenticationFailed, ConfigError
from asynqio.gateway.principals.credentials import Basic, Bearer, check_pair, credentials_of
from tests.gateway.principals.helpers import basic, bearer


def test_the_header_of_the_rust_client_is_read() -> None:
    header = b"Basic dGVuYW50MV91c2VyOnRlbmFudDFfcGFzc3dvcmQ="
    assert credentials_of([(b"authorization", header)]) == Basic("tenant1_user", "tenant1_password")


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), st.text(st.characters(codec="utf-8")))
def test_the_first_colon_ends_the_user_name(username: str, password: str) -> None:
    assert credentials_of(basic(username, password)) == Basic(username, password)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
def test_the_scheme_may_have_any_case(scheme: str) -> None:
    assert credentials_of(basic("ann", "s3cret", scheme)) == Basic("ann", "s3cret")
    assert credentials_of([(b"Authorization", b"bEARER abc")]) == Bearer("abc")


def test_without_a_header_there_are_no_credentials() -> None:
    assert credentials_of([(b"host", b"x")]) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic",
        b"Basic ",
        b"Basic !!!",
        b"Basic YW5u",  # no colon
        b"Basic YW5uOng",  # no padding
        b"Basic YW5uOng=YW5uOng=",
        b"Basic\tYW5uOng=",
        b"Basic " + base64.b64encode(b"ann:\xff"),
        b"Digest username=ann",
        b"YW5uOng=",
        b"\xff\xfe",
    ],
)
def test_a_malformed_header_is_refused_without_being_repeated(value: bytes) -> None:
    with pytest.raises(AuthenticationFailed) as error:
        credentials_of([(b"authorization", value)])
    assert "YW5u" not in str(error.value)
    assert error.value.__context__ is None, "no exception that holds the bytes"


def test_two_headers_are_refused() -> None:
    with pytest.raises(AuthenticationFailed, match="several"):
        credentials_of([*basic("ann", "x"), *bearer("y")])


def test_a_pair_is_whole_or_absent() -> None:
    assert check_pair("A_USER", None, "A_PASSWORD", None) is None
    assert check_pair("A_USER", "ann", "A_PASSWORD", "s3:cret") == Basic("ann", "s3:cret")


@pytest.mark.parametrize(
    ("username", "password", "problems"),
    [
        ("ann", None, ["A_USER is set, but A_PASSWORD is not: set both or neither"]),
        (None, "canary", ["A_PASSWORD is set, but A_USER is not: set both or neither"]),
        ("", "canary", ["A_USER must not be empty"]),
        ("ann", "", ["A_PASSWORD must not be empty"]),
        ("", "", ["A_USER must not be empty", "A_PASSWORD must not be empty"]),
        ("", None, ["A_USER is set, but A_PASSWORD is not: set both or neither", "A_USER must not be empty"]),
        (
            "ann:bob",
            "canary",
            ["A_USER must not contain a colon: Basic authentication ends the user name at the first one"],
        ),
    ],
)
def test_half_a_pair_or_an_empty_value_is_never_no_authentication(
    username: str | None, password: str | None, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        check_pair("A_USER", username, "A_PASSWORD", password)
    assert list(error.value.problems) == problems


@pytest.mark.parametrize("name", ["", " ", "\n", "a\nb", "a" * 129])
def test_what_is_no_user_name(name: str) -> None:
    with pytest.raises(ConfigError, match="A_USER "):
        check_pair("A_USER", name, "A_PASSWORD", "x")
