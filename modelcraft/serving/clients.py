"""Clients, and limits on how much of a resource one client may hold, so that nobody takes all of it."""

import contextlib
import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from modelcraft.support.errors import BusyError

LAST_QUARTER = 3 / 4
MAX_ADDRESSES = 10_000  # that an allowance remembers


@dataclass(frozen=True)
class Client:
    """An open page or a program: the network that it connects from, and its session."""

    address: str = ""
    session: str = ""


def network(host: str) -> str:
    """Return what identifies a subscriber: an IPv4 address, or half an IPv6 one (they choose the second half)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


class Allowance:
    """Tokens that an address spends and that return over time, `a_second` of them per second, up to `most`."""

    def __init__(self, most: float, a_second: float) -> None:
        self.most, self.a_second = most, a_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address → tokens, and at what time

    def spend(self, address: str, tokens: float = 1) -> None:
        """Spend `tokens` of an address; raise BusyError, which says when there will be enough."""
        now = time.monotonic()
        left, then = self._left.pop(address, (self.most, now))
        left = min(self.most, left + self.a_second * (now - then))
        self._left[address] = (left - tokens if left >= tokens else left, now)
        while len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        if left < tokens:
            raise BusyError(max(1, math.ceil((tokens - left) / self.a_second)))


def has_room(taken: int, most: int, own: int, own_most: int, more: int = 1) -> bool:
    """Return whether an address that holds `own` of `most` may have `more`, when all addresses hold `taken`.

    The last quarter is for addresses that hold none, so that a few addresses cannot take everything.
    """
    after = taken + more
    return after <= most and own + more <= own_most and (not own or after <= LAST_QUARTER * most)


class Shares:
    """Counts how many of a resource with `most` units each address and each session holds."""

    def __init__(self, most: int, an_address: int, a_session: int, wait_s: int = 5) -> None:
        self.most, self.an_address, self.a_session, self.wait_s = most, an_address, a_session, wait_s
        self.held: Counter[str] = Counter()  # by address
        self._by_session: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """The number of units held."""
        return self.held.total()

    def check(self, client: Client, more: int = 1) -> None:
        """Raise BusyError unless `client` may hold `more` units in addition."""
        own = self.held[client.address]
        of_session = self._by_session[client.session] + more if client.session else 0
        if not has_room(self.total, self.most, own, self.an_address, more) or of_session > self.a_session:
            raise BusyError(self.wait_s)

    @contextlib.contextmanager
    def hold(self, client: Client) -> Iterator[None]:
        """Hold one unit; raise BusyError if the client may not."""
        self.check(client)
        counts = ((self.held, client.address), (self._by_session, client.session))
        for count, key in counts:
            count[key] += 1
        try:
            yield
        finally:
            for count, key in counts:
                count[key] -= 1
                if not count[key]:
                    del count[key]
