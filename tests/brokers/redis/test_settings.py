"""Redis URLs: parsing, round trips, and no passwords in error messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.brokers.redis.settings import RedisSettings
from asynqio.brokers.redis.url import parse
from asynqio.errors import ConfigError

A, B = ("a", 7000), ("b", 7001)

MEANINGS = [
    ("redis://host", RedisSettings("single", (("host", 6379),))),
    ("REDIS://host", RedisSettings("single", (("host", 6379),))),
    ("redis://host:7000/", RedisSettings("single", (("host", 7000),))),
    ("valkey://host/3", RedisSettings("single", (("host", 6379),), db=3)),
    ("redis://host?db=3", RedisSettings("single", (("host", 6379),), db=3)),
    ("redis://host/3?db=3", RedisSettings("single", (("host", 6379),), db=3)),
    ("redis://:se%40cret@host:7000/2", RedisSettings("single", (("host", 7000),), db=2, password="se@cret")),
    ("redis://me:p%3Aw:x@host", RedisSettings("single", (("host", 6379),), username="me", password="p:w:x")),
    ("redis://me@host", RedisSettings("single", (("host", 6379),), username="me")),
    ("redis://[::1]:7000/1", RedisSettings("single", (("::1", 7000),), db=1)),
    ("redis://[fe80::1]", RedisSettings("single", (("fe80::1", 6379),))),
    ("rediss://host", RedisSettings("single", (("host", 6379),), tls=True)),
    ("valkeys://host", RedisSettings("single", (("host", 6379),), tls=True)),
    (
        "rediss://host?ca=/a%20b.pem&cert=c.pem&key=k.pem&verify=ca",
        RedisSettings(
            "single", (("host", 6379),), tls=True, ca="/a b.pem", cert="c.pem", key="k.pem", verify="ca"
        ),
    ),
    ("redis+unix:///run/r.sock", RedisSettings("unix", path="/run/r.sock")),
    ("redis+unix:/run/r.sock", RedisSettings("unix", path="/run/r.sock")),
    ("redis+unix://me:pw@/run/r.sock?db=2", RedisSettings("unix", (), "/run/r.sock", 2, "me", "pw")),
    ("redis-socket://:pw@/run/r.sock?db=2", RedisSettings("unix", (), "/run/r.sock", 2, "", "pw")),
    ("redis+sentinel://a:7000,b:7001/main", RedisSettings("sentinel", (A, B), master="main")),
    ("redis+sentinel://a/main", RedisSettings("sentinel", (("a", 26379),), master="main")),
    (
        "rediss+sentinel://me:pw@a:7000/main/2?sentinel_username=s&sentinel_password=t",
        RedisSettings(
            "sentinel",
            (A,),
            db=2,
            username="me",
            password="pw",
            master="main",
            sentinel_username="s",
            sentinel_password="t",
            tls=True,
        ),
    ),
    (
        "redis-sentinel://:pw@a:7000,b:7001/2?master=main",
        RedisSettings("sentinel", (A, B), db=2, master="main", sentinel_password="pw"),
    ),
    ("redis+cluster://a:7000,b:7001", RedisSettings("cluster", (A, B))),
    (
        "rediss+cluster://me:pw@a:7000,[::1]:1",
        RedisSettings("cluster", (A, ("::1", 1)), username="me", password="pw", tls=True),
    ),
    (
        "redis://host?timeout=1.5&connect_timeout=2&patience=0&client_name=me",
        RedisSettings(
            "single", (("host", 6379),), timeout=1.5, connect_timeout=2.0, patience=0.0, client_name="me"
        ),
    ),
]


@pytest.mark.parametrize(("url", "settings"), MEANINGS, ids=[url for url, _ in MEANINGS])
def test_a_url_is_parsed(url: str, settings: RedisSettings) -> None:
    assert parse(url) == settings
    assert parse(settings.private_url) == settings


PROBLEMS = [
    ("http://host", "begins with one of redis://, rediss://"),
    ("host:6379", "begins with one of"),
    ("redis://", "give the host name"),
    ("redis://:6379", "give the host name"),
    ("redis://::1:6379", "IPv6 addresses in brackets"),
    ("redis://host:port", "the port must be a number from 1 to 65535"),
    ("redis://host:65536", "the port must be"),
    ("redis+cluster://a:1,b:x", "the port of server 2 must be"),
    ("redis://a,b", "redis+sentinel:// or redis+cluster://"),
    ("redis://host/one", "the database must be a number"),
    ("redis://host/-1", "the database must be a number"),
    ("redis://host/1/2", "too many parts"),
    ("redis://host/1?db=2", "different databases"),
    ("redis+cluster://host/1", "a cluster has no numbered databases"),
    ("redis+cluster://host?db=1", "a cluster has no numbered databases"),
    ("redis+sentinel://host", "name the master: redis+sentinel://host:26379/name"),
    ("redis-sentinel://host/1", "name the master: redis-sentinel://host:26379?master=name"),
    ("redis+unix://run/r.sock", "three slashes"),
    ("redis+unix://", "three slashes"),
    (
        "redis://host?timout=3",
        "unknown option 'timout' (did you mean timeout?): valid options are db, timeout,",
    ),
    ("redis://host?timeout=0", "timeout= must be a number of seconds above 0"),
    ("redis://host?timeout=nan", "timeout= must be"),
    ("redis://host?patience=-1", "patience= must be"),
    ("redis://host?client_name=a%20b", "client_name= must be"),
    ("redis://host?patience=1&patience=2", "'patience' is given twice"),
    ("redis://host?ca=x.pem", "ca= requires TLS: write rediss://"),
    ("redis+cluster://host?verify=none", "verify= requires TLS: write rediss+cluster://"),
    ("rediss://host?verify=maybe", "verify= must be full, ca or none"),
    ("rediss://host?key=x.pem", "key= requires cert="),
    ("redis://:a@host?password_file=/b", "give the password, or password_file=, not both"),
    ("redis://%ff@host", "must be UTF-8"),
]


@pytest.mark.parametrize(("url", "problem"), PROBLEMS, ids=[url for url, _ in PROBLEMS])
def test_each_problem_is_named(url: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert problem in str(caught.value)
    assert len(caught.value.problems) == 1


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("redis+cluster://:x/1?timeout=soon&colour=red")
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:sesame@host:6379/0?patience=-1",
        "redis://:sesame/x@host",
        "redis://:1/sesame@host",
        "redis://:1?sesame@host",
        "redis://:1?x=y&sesame@host",
        "redis://:1#sesame@host",
        "redis://user:1@x/sesame@host",
        "redis://user:sesame",
        "redis+cluster://user:x,sesame@host:1,:port",
        "redis+sentinel://host?sentinel_password=sesame",
        "redis+unix://:sesame@run/r.sock",
        "sesame://host",
    ],
)
def test_error_messages_contain_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert "sesame" not in str(caught.value)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    username=WORDS,
    password=WORDS,
    master=WORDS.filter(bool),
    sentinel_password=WORDS,
    path=WORDS,
    db=st.integers(0, 99),
    patience=st.floats(0, 1e6),
)
def test_settings_survive_a_round_trip_through_their_url(
    username: str,
    password: str,
    master: str,
    sentinel_password: str,
    path: str,
    db: int,
    patience: float,
) -> None:
    sentinel = RedisSettings(
        "sentinel",
        (A, ("::1", 2)),
        db=db,
        username=username,
        password=password,
        master=master,
        sentinel_password=sentinel_password,
        patience=patience,
    )
    assert parse(sentinel.private_url) == sentinel
    unix = RedisSettings("unix", path=f"/x{path}", db=db, username=username, password=password)
    assert parse(unix.private_url) == unix


def test_only_the_private_url_contains_secrets() -> None:
    settings = parse("rediss+sentinel://me:sesame@a:7000/main?sentinel_password=sesame&ca=x.pem")
    assert settings.url == "rediss+sentinel://me@a:7000/main?ca=x.pem"
    assert "sesame" in settings.private_url
    for shown in (settings.url, settings.location, repr(settings), str(settings), f"{settings}"):
        assert "sesame" not in shown
