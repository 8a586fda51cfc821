"""The engine: a text is the same in company as alone, whoever comes and goes meanwhile."""

import random
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from helpers import assert_one_sentence, spread

from modelcraft.block import BlockLanguageModel
from modelcraft.counting import count
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.engine import Engine
from modelcraft.inference.gpt import CachedRows
from modelcraft.inference.stream import stream
from modelcraft.ladder import RUNGS
from modelcraft.residual import BlockConfig
from modelcraft.sampling import SamplingParams, sample, sample_rows
from modelcraft.support.errors import BusyError, ModelError, UnreadError, VocabularyError

V = 11
GPT = GPTConfig(vocab_size=V, block_size=16, n_embd=32, n_layer=2)


def gpt() -> GPTLanguageModel:
    return spread(GPTLanguageModel(GPT), std=0.3).eval()


def block() -> BlockLanguageModel:
    return spread(BlockLanguageModel(BlockConfig(vocab_size=V, block_size=8, n_embd=16, n_layer=1)), std=0.3).eval()


def counting():
    rung = RUNGS["counting"]
    data = torch.randint(V, (2_000,), generator=torch.Generator().manual_seed(1))
    return count(data, type(rung.config)(vocab_size=V, block_size=3))


def prompt(draws: random.Random, most: int = 40) -> list[int]:
    return draws.choices(range(V), k=draws.randint(1, most))


def until(said, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def engine():
    engine = Engine(gpt())
    yield engine
    until(lambda: not engine.running and not any(thread.name == "engine" for thread in threading.enumerate()))


@pytest.mark.parametrize("make", [gpt, block, counting])
def test_logits_are_the_same_in_company(make):
    """Rows of every age come and go; each row's logits stay what they are alone."""
    model, draws = make(), random.Random(1)
    decoder = decoder_for(model)
    rows, alone = decoder.rows(), []
    with torch.no_grad():
        for _ in range(60):
            if not alone or draws.random() < 0.3:
                some = [torch.tensor(prompt(draws)) for _ in range(draws.randint(1, 3))]  # of any lengths, together
                owns = [decoder.rows() for _ in some]
                expected = torch.cat([own.join([idx]) for own, idx in zip(owns, some, strict=True)])
                torch.testing.assert_close(rows.join(some), expected, atol=1e-4, rtol=0)
                alone += owns
            elif draws.random() < 0.2:
                row = draws.randrange(len(alone))
                rows.leave(row)
                alone[row] = alone[-1]
                alone.pop()
            if alone:
                newest = torch.tensor([draws.choices(range(V), k=len(alone))]).T  # (B, 1)
                expected = [own.step(token[None]) for token, own in zip(newest, alone, strict=True)]
                torch.testing.assert_close(rows.step(newest), torch.cat(expected), atol=1e-4, rtol=0)
    assert len(alone) > 3


def test_rows_are_drawn_as_alone():
    draws = random.Random(2)
    logits = torch.randn(40, V, generator=torch.Generator().manual_seed(1)) * 3
    choices = [SamplingParams(1, t, k, p) for t in (0.0, 0.7, 1.3) for k in (None, 3) for p in (1.0, 0.8)]
    for params in (draws.choices(choices, k=40), [choices[5]] * 40, [choices[0]] * 40):
        together = sample_rows(logits, params, [torch.Generator().manual_seed(s) for s in range(40)])
        for row in range(40):
            alone = sample(logits[row : row + 1], params[row], torch.Generator().manual_seed(row))
            assert together[row] == alone


@pytest.mark.parametrize("make", [gpt, counting])
def test_two_hundred_texts_are_the_same_in_company(make):
    model, draws = make(), random.Random(3)
    engine = Engine(model)
    requests = [
        (
            prompt(draws),
            SamplingParams(
                draws.randint(1, 60),
                draws.choice([0.0, 0.8, 1.0, 1.5]),
                draws.choice([None, None, 4]),
                draws.choice([1.0, 1.0, 0.9]),
                seed=seed,
            ),
        )
        for seed in range(200)
    ]
    streams = []
    for ids, params in requests:
        while engine.waiting > 50:
            time.sleep(0.001)
        streams.append(engine.submit(ids, params))
        if draws.random() < 0.3:
            time.sleep(draws.random() / 100)
    texts = [list(one) for one in streams]
    differing = []
    for (ids, params), text in zip(requests, texts, strict=True):
        alone = list(stream(model, ids, params))
        assert len(text) == len(alone) == params.max_new_tokens
        if text != alone:
            differing.append((ids, params, text, alone))
    assert len(differing) <= 2
    for ids, params, text, alone in differing:
        assert first_difference_is_a_tie(model, ids, params, text, alone)


def first_difference_is_a_tie(model, ids, params, text, alone) -> bool:
    """Whether a nudge of the logits by a hundred-thousandth, one way or the other, moves what was drawn."""
    at = next(k for k, (a, b) in enumerate(zip(text, alone, strict=True)) if a != b)
    generator = params.make_generator()
    if params.temperature:
        torch.rand(at, generator=generator)
    with torch.no_grad():
        rows = decoder_for(model).rows()
        logits = rows.join(torch.tensor([ids[-model.block_size :]]))
        for token in alone[:at]:
            logits = rows.step(torch.tensor([[token]]))
    state = generator.get_state()
    drawn = set()
    for token in (text[at], alone[at]):
        nudged = logits.clone()
        nudged[0, token] += 1e-4
        generator.set_state(state)
        drawn.add(int(sample(nudged, params, generator)))
    return len(drawn) == 2


def test_who_leaves_is_gone_before_the_next_step(engine):
    streams = [engine.submit([1], SamplingParams(10_000, seed=seed)) for seed in range(5)]
    texts = [iter(one) for one in streams]
    for text in texts:
        next(text)
    assert engine.running == 5
    texts[1].close()  # a reader who goes away
    streams[3].cancel()
    until(lambda: engine.running == 3)
    assert streams[1].finished and streams[3].finished and not streams[0].finished
    before = len(streams[3].tokens)
    until(lambda: len(streams[0].tokens) > 200)
    assert len(streams[3].tokens) == before
    for one in streams:
        one.cancel()
    alone = list(stream(engine.model, [1], SamplingParams(200, seed=4)))
    assert streams[4].tokens[:200] == alone[: len(streams[4].tokens[:200])]


def test_when_there_is_no_room_it_says_so_at_once(engine):
    engine.max_rows, engine.max_waiting = 2, 3
    held = [engine.submit([1], SamplingParams(1_000_000)) for _ in range(2)]
    until(lambda: engine.running == 2 and not engine.waiting)
    held += [engine.submit([1], SamplingParams(5)) for _ in range(3)]
    started = time.monotonic()
    with pytest.raises(BusyError) as caught:
        engine.submit([1], SamplingParams(5))
    assert time.monotonic() - started < 0.5
    assert_one_sentence(caught.value, "Busy, try again in", "second")
    assert caught.value.seconds >= 1
    held[0].cancel(), held[1].cancel()
    assert [len(list(one)) for one in held[2:]] == [5, 5, 5]  # who waited gets a turn


def test_a_stream_that_nobody_reads_is_ended(engine):
    engine.patience_s = 0.2
    unread = engine.submit([1], SamplingParams(10_000_000))
    read = iter(engine.submit([1], SamplingParams(10_000_000)))
    deadline = time.monotonic() + 10
    while not unread.finished:
        next(read)
        assert time.monotonic() < deadline
    assert engine.running == 1
    read.close()
    with pytest.raises(UnreadError) as caught:
        while True:
            unread.take()
    assert_one_sentence(caught.value, "Nobody read this text")


def test_what_breaks_is_told_to_its_readers_and_the_next_one_is_served(monkeypatch):
    engine = Engine(block())
    forward, calls = engine.model.forward, []

    def breaks(idx):
        calls.append(idx)
        if len(calls) > 5:
            raise ArithmeticError("broken")
        return forward(idx)

    monkeypatch.setattr(engine.model, "forward", breaks)
    broken = [engine.submit([1], SamplingParams(50)) for _ in range(3)]
    for one in broken:
        with pytest.raises(ArithmeticError):
            list(one)
    with pytest.raises(ArithmeticError):
        list(engine.submit([1], SamplingParams(5)))
    monkeypatch.undo()
    assert len(list(engine.submit([1], SamplingParams(5)))) == 5


def test_a_prompt_that_breaks_ends_nobody_elses_text(engine, monkeypatch):
    import modelcraft.inference.engine as module

    others = [engine.submit([k], SamplingParams(3_000, seed=k)) for k in range(3)]
    until(lambda: all(len(one.tokens) > 5 for one in others))
    draw = module.sample_rows

    def breaks(logits, params, generators):
        if params[0].seed == 99:
            raise MemoryError
        return draw(logits, params, generators)

    monkeypatch.setattr(module, "sample_rows", breaks)
    with pytest.raises(MemoryError):
        list(engine.submit([1], SamplingParams(5, seed=99)))
    texts = [list(one) for one in others]
    assert [len(text) for text in texts] == [3_000] * 3
    assert texts[2][:500] == list(stream(engine.model, [2], SamplingParams(500, seed=2)))


def test_a_prompt_that_breaks_ends_none_of_those_that_were_read_with_it(engine, monkeypatch):
    """They are read once more, each by itself, and their texts are those of their seeds."""
    import modelcraft.inference.engine as module

    draw = module.sample_rows

    def breaks(logits, params, generators):
        tokens = draw(logits, params, generators)  # the dice have been thrown
        if any(one.seed == 99 for one in params):
            raise MemoryError
        return tokens

    monkeypatch.setattr(module, "sample_rows", breaks)
    with engine._lock:  # all of them wait before the first is read
        streams = [
            module.Stream([1, 2], p := SamplingParams(50, seed=seed), p.make_generator(), module.Ending([]))
            for seed in (1, 99, 3)
        ]
        engine._waiting.extend(streams)
        engine._thread = threading.Thread(target=engine._run, name="engine", daemon=True)
        engine._thread.start()
    with pytest.raises(MemoryError):
        list(streams[1])
    for one in (streams[0], streams[2]):
        assert list(one) == list(stream(engine.model, [1, 2], one.params))


@pytest.mark.parametrize("what", ["leave", "step"])
def test_rows_that_break_end_those_texts_and_the_engine_goes_on(engine, monkeypatch, what):
    def breaks(*_):
        raise ArithmeticError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(CachedRows, what, breaks)
        for _ in range(2):
            one = engine.submit([1], SamplingParams(5))
            with pytest.raises(ArithmeticError):
                list(one)
    assert len(list(engine.submit([1], SamplingParams(5)))) == 5


def test_a_reader_that_cannot_be_woken_harms_nobody(engine):
    def breaks():
        raise RuntimeError("its loop is closed")

    one, other = (engine.submit([1], SamplingParams(500, seed=seed)) for seed in range(2))
    one.wake = breaks
    assert len(list(other)) == len(list(one)) == 500


def test_it_writes_by_the_weights_that_the_model_had_when_the_engine_was_made(engine):
    params = SamplingParams(20, temperature=1.0, seed=1)
    before = list(stream(engine.model, [1], params))
    with torch.no_grad():
        engine.model.lm_head.weight.mul_(-1)
    with closing(Engine(engine.model)) as another:
        assert list(another.submit([1], params)) == list(stream(engine.model, [1], params)) != before


def test_a_model_that_was_warmed_up_writes_the_same(engine, monkeypatch):
    """With one text it goes the compiled way, with several the other, and back."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr("modelcraft.inference.gpt.has_compiler", lambda device: True)
    params = [SamplingParams(length, temperature=1.0, seed=seed) for seed, length in enumerate((200, 60, 50))]
    expected = [list(stream(engine.model, [1], one)) for one in params]
    engine.decoder.warm_up()
    calls, step = [], engine.decoder.compiled._step
    engine.decoder.compiled._step = lambda *given: (calls.append(given), step(*given))[1]
    streams = [engine.submit([1], params[0])]
    until(lambda: len(streams[0].tokens) > 20)
    alone = len(calls)
    assert alone > 10
    streams += [engine.submit([1], one) for one in params[1:]]
    assert [list(one) for one in streams] == expected
    assert alone < len(calls) < 500


def test_what_is_read_before_the_next_step_has_a_bound(engine, monkeypatch):
    """Prompts are read together, as far as the longest of them goes, and a longer one by itself."""
    import modelcraft.inference.engine as module

    read, join = [], CachedRows.join
    monkeypatch.setattr(module, "READ_A_STEP", 20)
    monkeypatch.setattr(CachedRows, "join", lambda rows, prompts: (read.append(prompts), join(rows, prompts))[1])
    busy = engine.submit([1], SamplingParams(100_000))
    until(lambda: busy.tokens)
    with engine._lock:  # all of them wait before the first is read
        waiting = [3, 4, 5, 8, 8, 8, 16, 16, 1]
        streams = [
            module.Stream([1] * n, p := SamplingParams(5), p.make_generator(), module.Ending([])) for n in waiting
        ]
        engine._waiting.extend(streams)
    assert [len(list(one)) for one in streams] == [5] * len(waiting)
    busy.cancel()
    assert [[len(prompt) for prompt in prompts] for prompts in read] == [[1], [3, 4, 5], [8, 8], [8], [16], [16], [1]]


def test_what_makes_no_sense_is_refused_at_once(engine):
    for ids in ([], [V], [-1]):
        with pytest.raises(VocabularyError):
            engine.submit(ids, SamplingParams(5))
    assert list(engine.submit([1], SamplingParams(0))) == []


def test_a_reader_is_woken_once_for_news(engine):
    woken = threading.Event()
    one = engine.submit([1], SamplingParams(3))
    one.wake = woken.set
    if not one.tokens:
        assert woken.wait(5)
    until(lambda: one.finished)
    assert len(one.take()) == 3 and one.exhausted and one.take() == []


def test_closing_ends_all_texts_and_the_thread(engine):
    streams = [engine.submit([1], SamplingParams(max_new_tokens=100_000, seed=seed)) for seed in range(3)]
    streams[0].changed.wait()
    engine.close()
    assert not engine.running
    assert all(stream.finished and len(stream.tokens) < 100_000 for stream in streams)
    engine.close()  # and once more, when there is nobody
    assert len(list(engine.submit([1], SamplingParams(max_new_tokens=3, seed=1)))) == 3


def test_two_thousand_requests_leave_nothing_behind(engine):
    draws, streams = random.Random(5), []
    for _ in range(2_000):
        while engine.waiting > 50:
            time.sleep(0.001)
        one = engine.submit(prompt(draws), SamplingParams(draws.randint(1, 30)))
        if draws.random() < 0.33:
            one.cancel()
        streams.append(one)
    for one in streams:
        if not one.cancelled:
            assert len(list(one)) == one.params.max_new_tokens
    until(lambda: not engine.running)
    assert all(one.finished for one in streams)


@pytest.mark.cases
def test_one_client_has_not_all_rows_and_the_next_row_is_for_who_has_fewest(tiny_model):
    with closing(Engine(tiny_model, max_rows=4)) as engine:
        greedy = [engine.submit([1], SamplingParams(100_000, seed=seed), "greedy") for seed in range(20)]
        modest = engine.submit([1], SamplingParams(5, seed=1), "modest")
        assert len(list(modest)) == 5  # though nineteen came before
        assert sum(bool(stream.tokens) for stream in greedy) == 3  # three quarters of the rows
        for stream in greedy:
            stream.cancel()
        nobody = [
            engine.submit([1], SamplingParams(10, seed=seed)) for seed in range(6)
        ]  # who is not known is not counted
        assert [len(list(stream)) for stream in nobody] == [10] * 6


@pytest.mark.cases
@pytest.mark.parametrize("texts", [4, 1])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError])
def test_whatever_ends_the_thread_no_text_hangs_and_the_next_is_written(tiny_model, error, texts, monkeypatch):
    slow_log = SimpleNamespace(exception=lambda *_: time.sleep(0.05))  # the next request comes while the thread ends
    monkeypatch.setattr("modelcraft.inference.engine.log", slow_log)
    with closing(Engine(tiny_model, max_rows=2)) as engine:
        working, forward = True, tiny_model.forward

        def breaks(*arguments):
            if working:
                raise error
            return forward(*arguments)

        tiny_model.forward = breaks
        streams = [engine.submit([1], SamplingParams(50, seed=1)) for _ in range(texts)]
        for stream in streams:
            with pytest.raises((ModelError, error)):
                list(stream)
        working = False
        assert len(list(engine.submit([1], SamplingParams(5, seed=1)))) == 5


@pytest.mark.cases
def test_scores_that_are_no_numbers_are_an_error(tiny_model):
    with torch.no_grad():
        tiny_model.lm_head.bias[3] = torch.nan
    with closing(Engine(tiny_model)) as engine:
        for temperature in (0.0, 1.0):
            with pytest.raises(ModelError, match="no numbers") as failed:
                list(engine.submit([1], SamplingParams(5, temperature=temperature)))
            assert_one_sentence(failed.value)
            with pytest.raises(ModelError):
                list(stream(tiny_model, [1], SamplingParams(5, temperature=temperature)))
