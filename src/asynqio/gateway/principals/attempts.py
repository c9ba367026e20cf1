"""Brute force: how failed attempts to authenticate slow down further ones.

* An account and an address each have 5 free failures. Then every attempt waits, at first 5 seconds, and twice as long
  after each further failure, up to 5 minutes. A network of IPv6 addresses (/64) counts as one address.
* Nobody can lock out an owner from elsewhere: from an address where the account's password was right before, only
  the failures of that account at that address count, and its delays are at most 30 seconds. Those who share an
  address with an attacker share these delays.
* A right password resets no failures, so an attacker gains nothing by an own account or by the owner's activity. They
  are forgotten with time.
* An attempt counts from its start, so attempts made at the same time do not get around the limit.
* A valid API token is never delayed: with 256 random bits, there is nothing to guess.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import NamedTuple

from asynqio.clock import Clock
from asynqio.core.access.throttle import DEFAULT_PACE, Pace, Throttle
from asynqio.errors import TooManyAttempts

#: The pace of an account at an address from which it was used before.
OWNER_PACE = Pace(longest=30.0)
#: Most addresses, of all accounts, that are remembered as those of owners.
MAX_OWNERS = 10_000


class Counted(NamedTuple):
    """What counts an attempt: it is taken back if it does not fail."""

    throttles: tuple[tuple[Throttle, str], ...]

    def take_back(self) -> None:
        for throttle, key in self.throttles:
            throttle.take_back(key)


class Attempts:
    """The failures of accounts and addresses, and the addresses of owners."""

    def __init__(self, clock: Clock, *, pace: Pace = DEFAULT_PACE, entries: int = 10_000) -> None:
        self._clock = clock
        self._accounts = Throttle(pace, entries)
        self._addresses = Throttle(pace, entries)
        self._tokens = Throttle(pace, entries)
        self._of_owners = Throttle(OWNER_PACE, entries)
        self._owners: OrderedDict[str, None] = OrderedDict()
        #: By the name that `AttemptsRecord` stores them under.
        self.throttles = {
            "accounts": self._accounts,
            "addresses": self._addresses,
            "tokens": self._tokens,
            "owners": self._of_owners,
        }
        #: Whether a failure or an owner was added since this was set to False.
        self.changed = False

    @property
    def owners(self) -> list[str]:
        """The addresses of owners with their accounts, those used last at the end."""
        return list(self._owners)

    def restore_owner(self, pair: str) -> None:
        """Add one of `owners` that was stored before, or elsewhere."""
        if pair not in self._owners and len(self._owners) < MAX_OWNERS:
            self._owners[pair] = None
            self._owners.move_to_end(pair, last=False)

    def is_owner(self, account: str, address: str) -> bool:
        """Whether this account was used from this address before."""
        return _pair(account, address) in self._owners

    def check(self, account: str, address: str) -> Counted:
        """Check that a password may be tried now; returns what would count the attempt. Raises TooManyAttempts."""
        pair = _pair(account, address)
        counted = (
            Counted(((self._of_owners, pair),))
            if pair in self._owners
            else Counted(((self._accounts, account), (self._addresses, network_of(address))))
        )
        now = self._clock.monotonic()
        wait = max(throttle.wait(key, now) for throttle, key in counted.throttles)
        if wait > 0:
            raise TooManyAttempts(wait)
        return counted

    def begin(self, account: str, address: str) -> Counted:
        """Count an attempt as failed until it is taken back. Raises TooManyAttempts."""
        counted = self.check(account, address)
        for throttle, key in counted.throttles:
            throttle.fail(key, self._clock.monotonic())
        self.changed = True
        return counted

    def succeeded(self, account: str, address: str) -> None:
        """Remember that the account is used from this address."""
        pair = _pair(account, address)
        if pair not in self._owners:
            self._owners[pair] = None
            self.changed = True
            while len(self._owners) > MAX_OWNERS:
                self._owners.popitem(last=False)
        self._owners.move_to_end(pair)

    def token_failed(self, address: str) -> None:
        """Count an invalid API token. Raises TooManyAttempts if the address has sent too many."""
        key, now = network_of(address), self._clock.monotonic()
        wait = self._tokens.wait(key, now)
        if wait > 0:
            raise TooManyAttempts(wait)
        self._tokens.fail(key, now)
        self.changed = True


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return str(found)


def _pair(account: str, address: str) -> str:
    return f"{network_of(address)} {account}"
