"""Where a text ends before its length."""

import pytest
import torch
from helpers import VOCABULARY, Scripted, ids, spread
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.inference.engine import Engine
from modelcraft.inference.stop import Ending, Stop
from modelcraft.inference.stream import SamplingParams, stream

TOKENS = st.lists(st.integers(0, 2), max_size=30)


def through(ending: Ending, tokens: list[int]) -> list[int]:
    passed = []
    for token in tokens:
        passed += ending.read(token)
        if ending.reached:
            return passed
    return passed + ending.rest()


def cut(tokens: list[int], sequence: list[int], times: int) -> list[int]:
    """What is before the `times`-th place where `sequence` ends; by looking at the whole text."""
    for end in range(len(tokens) + 1):
        if tokens[max(0, end - len(sequence)) : end] == sequence and len(sequence) <= end:
            times -= 1
            if not times:
                return tokens[: end - len(sequence)]
    return tokens


@given(TOKENS, st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_a_text_ends_before_what_was_asked_for(tokens, sequence):
    assert through(Ending([Stop(tuple(sequence))]), tokens) == cut(tokens, sequence, 1)


@given(TOKENS, st.integers(1, 4))
def test_or_before_it_comes_for_the_nth_time(tokens, times):
    assert through(Ending([Stop((0,), times)]), tokens) == cut(tokens, [0], times)


STOPS = st.builds(Stop, st.lists(st.integers(0, 2), max_size=3).map(tuple), st.integers(1, 3))


@given(TOKENS, st.lists(STOPS, max_size=3))
def test_of_several_the_one_that_is_complete_first_counts(tokens, stops):
    expected, seen = tokens, dict.fromkeys(stops, 0)
    for end in range(len(tokens) + 1):
        here = []
        for stop in seen:
            if stop.sequence and tuple(tokens[:end])[-len(stop.sequence) :] == stop.sequence:
                seen[stop] += 1
                if seen[stop] == stop.times:
                    here.append(len(stop.sequence))
        if here:
            expected = tokens[: end - max(here)]
            break
    assert through(Ending(stops), tokens) == expected


def test_only_what_may_be_the_end_is_held_back():
    ending = Ending([Stop((1, 2))])
    assert [ending.read(token) for token in (5, 1, 1, 3, 1, 2)] == [[5], [], [1], [1, 3], [], []]
    assert ending.reached and ending.rest() == []


@pytest.mark.parametrize("way", ["stream", "engine"])
@pytest.mark.parametrize(
    ("stop", "length", "expected"),
    [((), 6, [1, 2, 3, 1, 2, 3]), ((3,), 6, [1, 2]), ((3, 1), 9, [1, 2]), ((2, 2), 5, [1, 2, 3, 1, 2]), ((1,), 4, [])],
    ids=str,
)
def test_a_model_stops_writing_there(way, stop, length, expected):
    model, params = Scripted([1, 2, 3], vocab_size=4), SamplingParams(length, temperature=0, stop=stop)
    if way == "stream":
        assert list(stream(model, [0], params)) == expected
        return
    engine = Engine(model)
    first, second = engine.submit([0], params), engine.submit([0], SamplingParams(7, temperature=0))
    assert list(first) == expected
    assert list(second) == [1, 2, 3, 1, 2, 3, 1]  # its company goes on
    engine.close()


def test_a_text_that_is_stopped_begins_as_the_one_that_is_not():
    model = spread(BigramLanguageModel(BigramConfig(vocab_size=len(VOCABULARY), block_size=4, n_embd=5))).eval()
    prompt = ids(len(VOCABULARY), 3).tolist()
    whole = list(stream(model, prompt, SamplingParams(200, seed=5)))
    stop = tuple(whole[20:22])
    stopped = list(stream(model, prompt, SamplingParams(200, seed=5, stop=stop)))
    assert stopped == cut(whole, list(stop), 1) and len(stopped) <= 20
    assert torch.equal(torch.tensor(whole[: len(stopped)]), torch.tensor(stopped))
