"""The text of an API token: `asq_`, 43 characters of 256 random bits, 6 characters of a checksum.

The prefix and the checksum let scanners find leaked tokens without false alarms.
"""

from __future__ import annotations

import hashlib
import zlib

PREFIX = "asq_"
#: Random bytes of a token.
RANDOM_BYTES = 32
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECKSUM = 43, 6


def make_text(random: bytes) -> str:
    """The token made of `RANDOM_BYTES` random bytes. Raises ValueError for another number of bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a token is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    body = _base62(int.from_bytes(random), _BODY)
    return f"{PREFIX}{body}{_checksum(body)}"


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, its checksum included."""
    body = text[len(PREFIX) : -_CHECKSUM]
    return (
        text.startswith(PREFIX)
        and len(body) == _BODY
        and body.isascii()
        and body.isalnum()
        and text.endswith(_checksum(body))
    )


def digest_of(text: str) -> str:
    """What is stored of a token: its SHA-256 in hex. The token has 256 random bits, so a slow hash adds nothing."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
