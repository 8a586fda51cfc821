"""A thread pool for the views: it works beside text generation, within limits, and shared fairly among the clients.

A view into a model takes up to a second of one core. The event loop's own threads would run any number of them at once,
and one client with a hundred requests would leave nothing for the others.
"""

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from modelcraft.serving.clients import Client, Shares

NICENESS = 10  # text generation comes first
P = ParamSpec("P")
Result = TypeVar("Result")


class Pool:
    """A few threads and a short queue for one event loop; the clients that have had the fewest views come first.

    `waiting` limits how many may wait: in total, per address (a whole class may share one), per session.
    """

    def __init__(self, threads: int = 1, waiting: tuple[int, int, int] = (64, 32, 3)) -> None:
        self._free = self._all = threads
        self._waiting = Shares(*waiting)
        self._seconds = 0.5  # recent duration of a view
        self._threads = ThreadPoolExecutor(threads, "view", initializer=_step_back)
        self._queue: list[tuple[Client, asyncio.Future[None]]] = []
        self._had: Counter[str] = Counter()  # recent views by address

    async def run(self, client: Client, work: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return `work(...)`, run in a thread at the client's turn; raise BusyError if too many wait."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.wait_s = max(1, round(self._seconds * self._waiting.total))
        with self._waiting.hold(client):
            self._queue.append((client, turn))
            self._deal()
            try:
                await turn
            except BaseException:  # the client has left, perhaps just when its turn came
                self._leave(turn)
                raise
        began = loop.time()
        looking = self._threads.submit(work, *args, **kwargs)

        def done() -> None:
            self._seconds += 0.2 * (loop.time() - began - self._seconds)
            self._free += 1
            self._deal()

        def tell(_: Future[Result]) -> None:  # runs when the thread is free, even if the client left before
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(done)

        looking.add_done_callback(tell)
        return await asyncio.wrap_future(looking)

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self._free += 1
            self._deal()
        self._queue = [one for one in self._queue if one[1] is not turn]

    def _deal(self) -> None:
        self._queue = [one for one in self._queue if not one[1].done()]
        while self._free and self._queue:
            number = min(range(len(self._queue)), key=lambda n: self._had[self._queue[n][0].address])
            client, turn = self._queue.pop(number)
            self._free -= 1
            self._had[client.address] += 1
            turn.set_result(None)
        if self._free == self._all:  # nobody works or waits, so the past no longer counts
            self._had.clear()


def _step_back() -> None:
    """Make the system prefer the other threads, where it can."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # on Linux: for this thread only
