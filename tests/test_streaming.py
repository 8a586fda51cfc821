"""Tokens become events: paced, gathered, with a heartbeat, and ended with their reader."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelcraft.ui.streaming import HEARTBEAT_S, TICK_S, Meter, gather, together


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as workers:
        yield workers


def run(tokens: Iterator[int], pace: float, pool: ThreadPoolExecutor, most: int = 10_000):
    """Read a stream to its end, or `most` events of it; return (seconds since the start, tokens) for each."""
    meter = Meter()

    async def read() -> list[tuple[float, list[int]]]:
        start = time.monotonic()
        events = []
        stream = gather(tokens, pace, pool, meter)
        async for batch in stream:
            events.append((time.monotonic() - start, batch))
            if len(events) == most:
                break
        await stream.aclose()
        return events

    return asyncio.run(read()), meter


def numbers(count: int, seconds: float = 0.0) -> Iterator[int]:
    for i in range(count):
        time.sleep(seconds)
        yield i


def in_order(events) -> list[int]:
    return [token for _, batch in events for token in batch]


@pytest.mark.parametrize("pace", [0, 15, 30, 100])
def test_every_token_arrives_once_and_in_order(pool, pace):
    events, meter = run(numbers(30), pace, pool)
    assert in_order(events) == list(range(30))
    assert meter.characters == 30
    assert meter.finished


def test_up_to_thirty_a_second_each_event_carries_one_token(pool):
    for pace in (20, 30):
        events, _ = run(numbers(30, 0.001), pace, pool)
        assert all(len(batch) <= 1 for _, batch in events)
        assert events[-1][0] >= 29 / pace * 0.98  # never ahead of its pace


def test_above_that_tokens_are_gathered(pool):
    events, meter = run(numbers(120), 120, pool)
    seconds = events[-1][0]
    assert seconds >= 119 / 120 * 0.98
    assert len(events) <= seconds / TICK_S + 2
    assert max(len(batch) for _, batch in events) > 1
    assert meter.pace <= 125


@pytest.mark.parametrize("pace", [0, 5, 30, 120])
def test_the_first_token_comes_at_once_and_alone(pool, pace):
    events, _ = run(numbers(500, 0.001), pace, pool, most=1)
    assert events[0][1] == [0]


def test_without_a_pace_it_is_as_fast_as_the_model_and_still_gathered(pool):
    events, meter = run(numbers(300, 0.001), 0, pool)
    assert len(events) <= events[-1][0] / TICK_S + 3
    assert meter.pace == pytest.approx(300 / events[-1][0], rel=0.5)


def test_a_slow_pace_and_a_slow_model_still_give_signs_of_life(pool):
    for tokens, pace in ((numbers(2), 1), (numbers(2, 0.7), 0)):
        events, _ = run(tokens, pace, pool)
        assert in_order(events) == [0, 1]
        times = [at for at, _ in events]
        gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
        assert max(gaps) < HEARTBEAT_S + 0.4
        assert sum(batch == [] for _, batch in events) >= 3


@pytest.mark.parametrize("pace", [0, 30])
def test_a_reader_who_leaves_ends_the_work(pool, pace):
    taken: list[int] = []

    def counted() -> Iterator[int]:
        for token in numbers(10_000, 0.005):
            taken.append(token)
            yield token

    run(counted(), pace, pool, most=5)
    so_far = len(taken)
    time.sleep(0.2)
    assert len(taken) <= so_far + TICK_S / 0.005 + 1


def test_a_model_that_fails_is_heard(pool):
    def failing() -> Iterator[int]:
        yield 1
        raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError, match="the model broke"):
        run(failing(), 0, pool)


def test_the_speed_is_the_models_own_however_slowly_it_was_read(pool):
    def busy() -> Iterator[int]:
        for i in range(10):
            until = time.thread_time() + 0.01
            while time.thread_time() < until:
                pass
            yield i

    _, meter = run(busy(), 20, pool)
    assert meter.pace < 25
    assert 60 < meter.speed <= 100


def test_together_all_is_done_at_the_same_time_and_to_the_end():
    done = []

    async def work(name: int) -> None:
        await asyncio.sleep(0.3)
        done.append(name)

    async def read() -> tuple[float, int]:
        start = time.monotonic()
        ticks = [None async for _ in together([work(i) for i in range(20)], tick=0.05)]
        return time.monotonic() - start, len(ticks)

    seconds, ticks = asyncio.run(read())
    assert sorted(done) == list(range(20))
    assert seconds < 3
    assert 1 <= ticks <= seconds / 0.05


def test_together_nothing_is_left_running_when_the_reader_leaves():
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def read() -> int:
        ticks = together([work(), work()])
        await anext(ticks)
        await ticks.aclose()
        return len(ended)

    assert asyncio.run(read()) == 2


def test_together_nothing_to_do_is_done():
    async def read() -> list[None]:
        return [tick async for tick in together([])]

    assert asyncio.run(read()) == []
