"""The URL of a broker."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asynqio import ConfigError, open_broker


@pytest.mark.parametrize(
    "url",
    [
        "redis://[::1",
        "redis://:secret@[::1",
        "http://[x]:1",
        "redis://user:secret@ho\u2100st",
        "sqlite://[",
        "",
    ],
)
def test_a_url_that_cannot_be_parsed_is_one_sentence(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_broker(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(
    st.text()
    | st.builds("{}://{}".format, st.sampled_from(["redis", "rediss+cluster", "sqlite", "memory"]), st.text())
)
@example("redis://:p\u2100@[::1]")
def test_any_text_is_a_broker_or_a_config_error(url: str) -> None:
    try:
        broker = open_broker(url)
    except ConfigError:
        return
    assert broker.url
