"""Tokens become events: paced, gathered, with a heartbeat, and ended with their reader."""

import asyncio
import time

import pytest
from helpers import Scripted

from modelcraft.inference.engine import Engine
from modelcraft.model import LanguageModel
from modelcraft.sampling import SamplingParams
from modelcraft.serving.streaming import HEARTBEAT_S, TICK_S, Meter, gather, together


def run(model: LanguageModel, count: int, pace: float, most: int = 10_000, tick: float = TICK_S):
    """Read `count` tokens of a stream, or `most` events of it; return (seconds since the start, tokens) for each."""
    meter = Meter()

    async def read() -> list[tuple[float, list[int]]]:
        start = time.monotonic()
        events = []
        stream = gather(Engine(model).submit([0], SamplingParams(count, temperature=0)), pace, meter, lambda: tick)
        async for batch in stream:
            events.append((time.monotonic() - start, batch))
            if len(events) == most:
                break
        await stream.aclose()
        return events

    return asyncio.run(read()), meter


def numbers(count: int, seconds: float = 0.0, work=None) -> LanguageModel:
    return Scripted(range(count), count, seconds, work)


def in_order(events) -> list[int]:
    return [token for _, batch in events for token in batch]


@pytest.mark.parametrize("pace", [0, 15, 30, 100])
def test_every_token_arrives_once_and_in_order(pace):
    events, meter = run(numbers(30), 30, pace)
    assert in_order(events) == list(range(30))
    assert meter.characters == 30
    assert meter.finished


def test_up_to_thirty_a_second_each_event_carries_one_token():
    for pace in (20, 30):
        events, _ = run(numbers(30, 0.001), 30, pace)
        assert all(len(batch) <= 1 for _, batch in events)
        assert events[-1][0] >= 29 / pace * 0.98  # never ahead of its pace


@pytest.mark.cases
def test_a_pace_is_kept_when_events_are_few():
    events, _ = run(numbers(60), 60, 30, tick=0.25)  # as beside a hundred readers
    assert events[-1][0] == pytest.approx(59 / 30, abs=0.4)


def test_above_that_tokens_are_gathered():
    events, meter = run(numbers(120), 120, 120)
    seconds = events[-1][0]
    assert seconds >= 119 / 120 * 0.98
    assert len(events) <= seconds / TICK_S + 2
    assert max(len(batch) for _, batch in events) > 1
    assert meter.pace <= 125


@pytest.mark.parametrize("pace", [0, 5, 30, 120])
def test_the_first_token_comes_at_once_and_alone(pace):
    events, _ = run(numbers(500, 0.001), 500, pace, most=1)
    assert events[0][1] == [0]


def test_without_a_pace_it_is_as_fast_as_the_model_and_still_gathered():
    events, meter = run(numbers(300, 0.001), 300, 0)
    assert len(events) <= events[-1][0] / TICK_S + 3
    assert meter.pace == pytest.approx(300 / events[-1][0], rel=0.5)


def test_a_slow_pace_and_a_slow_model_still_give_signs_of_life():
    for model, pace in ((numbers(2), 1), (numbers(2, 0.7), 0)):
        events, _ = run(model, 2, pace)
        assert in_order(events) == [0, 1]
        times = [at for at, _ in events]
        gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
        assert max(gaps) < HEARTBEAT_S + 0.4
        assert sum(batch == [] for _, batch in events) >= 3


@pytest.mark.parametrize("pace", [0, 30])
def test_a_reader_who_leaves_ends_the_work(pace):
    steps: list[int] = []
    run(numbers(10_000, 0.005, steps.append), 10_000, pace, most=5)
    time.sleep(0.05)  # the step at hand
    so_far = len(steps)
    time.sleep(0.2)
    assert len(steps) == so_far


def test_a_model_that_fails_is_heard():
    def fail_at_the_second(step: int) -> None:
        if step == 1:
            raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError, match="the model broke"):
        run(numbers(9, 0, fail_at_the_second), 9, 0)


def test_what_was_written_before_it_broke_is_shown():
    def fail_late(step: int) -> None:
        if step == 20:
            raise RuntimeError("the model broke")

    shown = []

    async def read() -> None:
        stream = Engine(numbers(50, 0, fail_late)).submit([0], SamplingParams(50, temperature=0))
        async for batch in gather(stream, 60):
            shown.extend(batch)

    with pytest.raises(RuntimeError, match="the model broke"):
        asyncio.run(read())
    assert shown == list(range(20))


def test_the_speed_is_the_models_own_however_slowly_it_was_read():
    def busy(_: int) -> None:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass

    _, meter = run(numbers(10, 0, busy), 10, 20)
    assert meter.pace < 25
    assert 60 < meter.speed <= 105


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
