"""Request bodies, from arrival until the answer: a limit for each body, for each address, and for all together."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive

from modelcraft.support.errors import BusyError

MAX_BODY = 2 << 20  # bytes; fits a visitor's whole script several times
MAX_READ = 16 * MAX_BODY
MAX_HELD = (16 * MAX_BODY, 4 * MAX_BODY)  # in total, and per address
SMALL = 64 << 10  # bytes of each body that do not count: large bodies of others never block a short line
BODY_S = 30.0  # how long a body may take to arrive
WAIT_S = 10
BODY = "modelcraft.body"  # key in a scope: the address that a body came from, and its bytes beyond SMALL
# Limits on JSON, whose parts take many times their bytes as Python objects: objects and lists, commas (within texts,
# too), values, and the few values of an API call.
MAX_LISTS, MAX_COMMAS, MAX_VALUES, MAX_FIELDS = 5_000, 200_000, 25_000, 100


class RefusedError(Exception):
    """A request to answer before Gradio sees it, with a status and one sentence."""

    def __init__(self, status: int, sentence: str, retry_s: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {} if retry_s is None else {"Retry-After": str(retry_s)}


class Bodies:
    """Counts the bytes of all bodies in memory."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()  # by address

    @contextlib.contextmanager
    def of(self, address: str) -> Iterator["Body"]:
        """Make room for the body of a request from `address` until the request is answered."""
        body = Body(self, address)
        try:
            yield body
        finally:
            self.held[address] -= body.counted
            if not self.held[address]:
                del self.held[address]

    def take(self, address: str, more: int) -> None:
        """Count `more` bytes; raises BusyError if the address holds too many, RefusedError if all addresses do."""
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
        """Read the body, at most `most` bytes; raises RefusedError or BusyError."""
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
                    # Read a body that is too large for a while, but drop it: a client that still sends hears no answer.
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
    """Return the JSON object in a body; raises RefusedError for anything else, and for too many parts."""
    if body.count(b"{") + body.count(b"[") > MAX_LISTS or body.count(b",") > MAX_COMMAS:
        raise RefusedError(400, "The request is not valid JSON, or it has too many parts.")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The request is not valid JSON.") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "The request must be a JSON object.")
    return found
