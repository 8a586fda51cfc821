"""The bodies of requests while they arrive and until they are answered: a bound for each, for an address, for all."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive

from modelcraft.support.errors import BusyError

MAX_BODY = 2 << 20  # bytes; a visitor's whole script fits several times
MAX_READ = 16 * MAX_BODY
MAX_HELD = (16 * MAX_BODY, 4 * MAX_BODY)  # of all, and of an address
SMALL = 64 << 10  # bytes of each body that do not count: others' large ones keep no line from being written
BODY_S = 30.0  # so long a body may take
WAIT_S = 10
BODY = "modelcraft.body"  # in a scope: the address that a body came from, and its bytes beyond SMALL
# In JSON, for as objects of Python's they take many times their bytes: objects and lists, commas (within texts, too),
# and values, which a call of the API has a few of.
MAX_LISTS, MAX_COMMAS, MAX_VALUES, MAX_FIELDS = 5_000, 200_000, 25_000, 100


class RefusedError(Exception):
    """A request that is answered before Gradio sees it, with a status and one sentence."""

    def __init__(self, status: int, sentence: str, retry_s: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {} if retry_s is None else {"Retry-After": str(retry_s)}


class Bodies:
    """Counts the bytes of all bodies at hand."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()  # by address

    @contextlib.contextmanager
    def of(self, address: str) -> Iterator["Body"]:
        """Make room for the body of a request from `address`, for as long as it is being answered."""
        body = Body(self, address)
        try:
            yield body
        finally:
            self.held[address] -= body.counted
            if not self.held[address]:
                del self.held[address]

    def take(self, address: str, more: int) -> None:
        """Count some bytes; raises BusyError if the address holds too many, RefusedError if all do."""
        if self.held[address] + more > MAX_HELD[1]:
            raise BusyError(WAIT_S)
        if self.held.total() + more > MAX_HELD[0]:
            raise RefusedError(503, f"Busy, try again in {WAIT_S} seconds.", WAIT_S)
        self.held[address] += more


@dataclass
class Body:
    """The body of one request."""

    bodies: Bodies
    address: str
    counted: int = 0

    async def read(self, receive: Receive, most: int = MAX_BODY) -> bytes:
        """Read it, at most so many bytes; raises RefusedError or BusyError."""
        body, length = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "The request broke off.")
                    part = bytes(message.get("body", b""))
                    length += len(part)
                    more = message.get("more_body", False)
                    # What is too large is read on for a while, and not kept: who is still sending hears no answer.
                    if length <= most:
                        body += part
                        self._count(len(body))
                    if length > MAX_READ or (length > most and not more):
                        raise RefusedError(413, f"The request is larger than {MAX_BODY >> 20} MB.")
                    if not more:
                        return bytes(body)
        except TimeoutError:
            raise RefusedError(408, f"The request took longer than {BODY_S:.0f} seconds to arrive.") from None

    def _count(self, size: int) -> None:
        if (more := size - SMALL - self.counted) > 0:
            self.bodies.take(self.address, more)
            self.counted += more


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raises RefusedError for anything else, and for one of too many parts."""
    if body.count(b"{") + body.count(b"[") > MAX_LISTS or body.count(b",") > MAX_COMMAS:
        raise RefusedError(400, "The request is not valid JSON, or it has too many parts.")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The request is not valid JSON.") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "The request must be a JSON object.")
    return found
