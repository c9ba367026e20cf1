"""Whether a request comes from this machine, from no web page and through no proxy."""

from __future__ import annotations

import ipaddress

from asynqio.gateway.principals.credentials import Headers, values_of

#: Headers that proxies add, besides those that begin with `x-forwarded-`.
FORWARDING = (b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip", b"true-client-ip")


def obstacle(headers: Headers, client_address: str) -> str:
    """Why the request does not count as one of this machine; empty if it does."""
    if not _is_loopback(client_address):
        return "the request does not come from this machine"
    names = {name.lower() for name, _ in headers}
    if names.intersection(FORWARDING) or any(name.startswith(b"x-forwarded-") for name in names):
        return "a proxy has forwarded the request"
    if b"origin" in names:
        return "a web page has sent the request"
    hosts = values_of(headers, b"host")
    if len(hosts) != 1 or not _is_loopback(_host(hosts[0])):
        return "its Host header does not name this machine as localhost"
    return ""


def _host(value: bytes) -> str:
    """The host name of a Host header, without the port."""
    text = value.decode("latin-1").strip()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return name if bracket and (not rest or _is_port(rest)) else ""
    name, colon, port = text.partition(":")
    return name if not colon or _is_port(f":{port}") else ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdecimal()


def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback
