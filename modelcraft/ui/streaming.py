"""From a stream of tokens to a stream of events: paced, gathered, and gone when its reader is gone.

The model runs on a worker thread, a thirtieth of a second at a time; in between the event loop decides whether anyone
still wants the text. So a cancelled stream ends within one such slice, and no torch call ever holds the loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

EVENTS_PER_SECOND = 30  # at most so many reach a client
TICK_S = 1 / EVENTS_PER_SECOND
HEARTBEAT_S = 0.15  # Gradio notices that a client has gone only when something is sent


@dataclass
class Meter:
    """How fast a stream was."""

    characters: int = 0
    started: float = field(default_factory=time.perf_counter)
    finished: float | None = None
    worked: float = 0.0  # seconds of processor time that the model took

    @property
    def pace(self) -> float:
        """Characters a second, as the reader saw them."""
        return self.characters / max(1e-9, (self.finished or time.perf_counter()) - self.started)

    @property
    def speed(self) -> float:
        """Characters a second that the model can do: by its own work, however slowly the reader took them."""
        return self.characters / max(1e-9, self.worked)


async def gather(
    tokens: Iterator[int], pace: float, pool: Executor, meter: Meter | None = None
) -> AsyncIterator[list[int]]:
    """Yield the new tokens, the first one at once, the others at most 30 times a second.

    `pace` is in tokens a second, 0 for as fast as the model runs; up to 30 every event carries one token. An empty list
    is a heartbeat: nothing new for 150 ms.
    """
    loop = asyncio.get_running_loop()
    meter = meter or Meter()
    start = last = loop.time()
    sent = 0
    done = False
    while not done:
        if pace and sent:
            # The next event: a tick after the last one, and not before the next token is due.
            at = max(last + TICK_S, start + sent / pace)
            while (left := at - loop.time()) > 0:
                await asyncio.sleep(min(left, HEARTBEAT_S))
                if left > HEARTBEAT_S:
                    yield []
        if not sent or 0 < pace <= EVENTS_PER_SECOND:
            most = 1
        else:
            most = max(1, int((loop.time() - start) * pace) + 1 - sent) if pace else 1_000_000
        work = loop.run_in_executor(pool, _take, tokens, most, TICK_S)
        try:
            while not (await asyncio.wait({work}, timeout=HEARTBEAT_S))[0]:
                yield []
        finally:
            work.cancel()  # matters only where the reader left before a worker was free
        batch, done, worked = work.result()
        sent += len(batch)
        meter.worked += worked
        last = loop.time()
        meter.characters = sent
        if batch:
            yield batch
    meter.finished = time.perf_counter()


def _take(tokens: Iterator[int], most: int, seconds: float) -> tuple[list[int], bool, float]:
    """Run the model for `most` tokens or `seconds`, whichever is over first.

    Return the tokens, whether they were the last, and the processor time that they took.
    """
    start, began = time.perf_counter(), time.thread_time()
    batch: list[int] = []
    done = False
    while len(batch) < most and not done:
        token = next(tokens, None)
        if token is None:
            done = True
        else:
            batch.append(token)
        if time.perf_counter() - start >= seconds:
            break
    return batch, done, time.thread_time() - began


async def together(work: Sequence[Coroutine[Any, Any, None]], tick: float = TICK_S) -> AsyncGenerator[None, None]:
    """Do all of `work` at the same time; yield every `tick` seconds until the last of it is done.

    Whoever stops listening ends all of it.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        while tasks and (await asyncio.wait(tasks, timeout=tick))[1]:
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
