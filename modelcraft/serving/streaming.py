"""Turn a stream of tokens into a stream of events: paced, batched, and cancelled when its reader leaves.

The model's engine generates on its own thread; this module only takes its tokens, about thirty times a second, and
cancels the stream when nobody reads it any more. No torch call ever blocks the event loop.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from modelcraft.inference.engine import Stream
from modelcraft.support.errors import UnreadError

EVENTS_PER_SECOND = 30  # the most that reach one client
TICK_S = 1 / EVENTS_PER_SECOND
HEARTBEAT_S = 0.15  # Gradio notices that a client has left only when it sends something
MAX_UNREAD = 8  # events that wait for a reader that is slow or has not arrived yet
PATIENCE_S = 60.0  # a stream that nobody reads for this long is cancelled
Event = TypeVar("Event")


@dataclass
class Meter:
    """How fast a stream was."""

    characters: int = 0
    started: float = field(default_factory=time.perf_counter)
    finished: float | None = None
    worked: float = 0.0  # seconds of CPU time that the model used

    @property
    def pace(self) -> float:
        """Characters per second, as the reader saw them."""
        return self.characters / max(1e-9, (self.finished or time.perf_counter()) - self.started)

    @property
    def speed(self) -> float:
        """Characters per second of the model's own CPU time, however slowly the reader took them."""
        return self.characters / self.worked if self.worked else 0.0


async def gather(
    stream: Stream, pace: float, meter: Meter | None = None, tick: Callable[[], float] = lambda: TICK_S
) -> AsyncGenerator[list[int], None]:
    """Yield the new tokens: the first one at once, then at most one batch every `tick()` seconds.

    `pace` is in tokens per second, 0 for as fast as the model runs; up to a pace of one token per tick, every event
    carries one token. An empty list is a heartbeat: nothing new for 150 ms, or for four ticks if that is longer.
    A reader that stops iterating cancels the stream.
    """
    loop = asyncio.get_running_loop()
    meter = meter or Meter()
    start = last = loop.time()
    ready: list[int] = []
    sent = 0

    def beat() -> float:
        return max(HEARTBEAT_S, 4 * tick())

    try:
        while not stream.exhausted or ready:
            if sent:  # next event: a tick after the last one, and not before the next token is due
                at = max(last + tick(), start + sent / pace if pace else 0.0)
                while (left := at - loop.time()) > 0:
                    await asyncio.sleep(min(left, pause := beat()))
                    if left > pause:
                        yield []
            try:
                ready += stream.take()
            except Exception:
                if not ready:  # first show what was generated before the error
                    raise
            if not ready:
                await _news(stream, beat())
                ready += stream.take()
            if not sent or 0 < pace * tick() <= 1.001:  # one per tick, within rounding
                most = 1
            else:
                most = max(1, int((loop.time() - start) * pace) + 1 - sent) if pace else len(ready)
            batch, ready = ready[:most], ready[most:]
            if not sent:  # the pace starts with the first token, so a wait for a row is not made up for
                start = loop.time()
            sent += len(batch)
            meter.worked = stream.worked
            meter.characters = sent
            last = loop.time()
            if batch or not stream.exhausted:
                yield batch
        stream.take()  # raises the error that ended the stream early, if any
    finally:
        stream.cancel()
    meter.finished = time.perf_counter()


async def _news(stream: Stream, beat: float) -> None:
    """Wait for a new token, but no longer than `beat` seconds."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            loop.call_soon_threadsafe(woken.set)

    stream.wake = wake
    if stream.finished or len(stream.tokens) > stream.read:  # a token came before `wake` was set
        return
    with contextlib.suppress(TimeoutError):  # not `wait_for`, which on Python 3.11 can swallow a cancellation
        async with asyncio.timeout(beat):
            await woken.wait()


async def as_read(events: AsyncGenerator[Event, None], unread: Callable[[], int]) -> AsyncGenerator[Event, None]:
    """Pass events on as fast as their reader takes them; while MAX_UNREAD events wait, keep only the newest one.

    So each event must contain everything that earlier ones said. The first and the last event always get through, and
    the next event holds what a late reader missed. Raises UnreadError when nothing has been read for PATIENCE_S.
    """
    clock = asyncio.get_running_loop().time
    held: list[Event] = []
    read_at, first = clock(), True
    async with aclosing(events):
        async for event in events:
            if first or unread() < MAX_UNREAD:
                held, read_at, first = [], clock(), False
                yield event
            elif clock() - read_at > PATIENCE_S:
                raise UnreadError(PATIENCE_S)
            else:
                held = [event]
    for event in held:
        yield event


async def together(work: Sequence[Coroutine[Any, Any, None]], tick: float = TICK_S) -> AsyncGenerator[None, None]:
    """Run all of `work` concurrently; yield every `tick` seconds until the last coroutine is done.

    A reader that stops iterating cancels all of them.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        while tasks and (await asyncio.wait(tasks, timeout=tick))[1]:
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
