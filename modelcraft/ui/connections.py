"""Connections: so many at a time of all, so many of an address, and none that never says what it wants."""

import asyncio
import os
from collections import Counter
from typing import Any

from modelcraft.serving.clients import network

MAX_CONNECTIONS = 1_000  # at a time
AN_ADDRESS = 250  # of these; of a proxy that is named there may be as many as there are
SILENCE_S = 15.0  # so long a connection may be open without a request


def bounded(protocol: type[Any]) -> type[Any]:
    """Return uvicorn's `protocol`, which serves one connection, with these bounds."""
    open_of: Counter[str] = Counter()  # by address
    has_proxy = bool(os.environ.get("FORWARDED_ALLOW_IPS"))

    class Bounded(protocol):  # type: ignore[misc]  # which of uvicorn's two it is is known when it runs
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
            if self.cycle is None:  # no request has come in whole
                self.transport.abort()

    return Bounded
