"""Limits on connections: how many in total, how many per address, and how long without a request."""

import asyncio
import os
from collections import Counter
from typing import Any

from modelcraft.serving.clients import network

MAX_CONNECTIONS = 1_000  # open at a time
AN_ADDRESS = 250  # of these per address; no such limit behind a named proxy
SILENCE_S = 15.0  # how long a connection may be open without a request


def bounded(protocol: type[Any]) -> type[Any]:
    """Return uvicorn's `protocol`, which serves one connection, with these limits."""
    open_of: Counter[str] = Counter()  # by address
    has_proxy = bool(os.environ.get("FORWARDED_ALLOW_IPS"))

    class Bounded(protocol):  # type: ignore[misc]  # uvicorn chooses one of two when it runs
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            peer = transport.get_extra_info("peername")
            self.address = network(peer[0]) if peer else ""
            open_of[self.address] += 1
            self.silence = asyncio.get_running_loop().call_later(SILENCE_S, self.end_if_silent)
            if open_of[self.address] > AN_ADDRESS and not has_proxy:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self.silence.cancel()
            open_of[self.address] -= 1
            if not open_of[self.address]:
                del open_of[self.address]
            super().connection_lost(exc)

        def end_if_silent(self) -> None:
            if self.cycle is None:  # no complete request has arrived
                self.transport.abort()

    return Bounded
