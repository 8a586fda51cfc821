"""Rung: the encoder–decoder."""

from collections import Counter

import pytest
import torch
from helpers import assert_one_sentence, ids, make, spread
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from modelcraft.gpt import Attention
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.engine import Engine
from modelcraft.inference.stream import stream
from modelcraft.loss import exact_loss
from modelcraft.sampling import SamplingParams
from modelcraft.support.errors import ConfigError, CorpusError, VocabularyError

ALPHABET = "\n abcde"
SMALL = EncoderDecoderConfig(
    vocab_size=7, block_size=12, n_embd=16, n_layer=2, n_head=2, n_kv_head=1, dropout=0.0, vowels=(2, 6)
)


def encoded(text: str) -> torch.Tensor:
    return torch.tensor([ALPHABET.index(c) for c in text], dtype=torch.long)


@pytest.fixture(scope="module")
def model() -> EncoderDecoder:
    return spread(EncoderDecoder(SMALL), std=0.4).eval()


def test_what_follows_from_the_characters():
    follows = EncoderDecoder.settings_for("\n abcdeé")
    assert follows == {"vocab_size": 8, "newline": 0, "space": 1, "vowels": (2, 6, 7)}
    assert EncoderDecoder.settings_for("\nab")["space"] == 0
    assert EncoderDecoderConfig(**follows | {"vowels": [2, 6]}).vowels == (2, 6)  # as JSON has them
    with pytest.raises(CorpusError) as caught:
        EncoderDecoder.settings_for(" abc")
    assert_one_sentence(caught.value, "has only one")


@pytest.mark.parametrize(
    "wrong", [{"newline": 7}, {"space": 70}, {"vowels": (7,)}, {"vowels": (True,)}, {"vowels": "a"}]
)
def test_ids_outside_the_vocabulary_are_refused(wrong):
    with pytest.raises(ConfigError) as caught:
        EncoderDecoderConfig(vocab_size=7, **wrong)
    assert_one_sentence(caught.value, next(iter(wrong)))


def test_a_prompt_is_its_lines_without_vowels(model):
    def sources(prompt: str) -> list[str]:
        return ["".join(ALPHABET[i] for i in source) for source in model.sources(encoded(prompt)).copy()]

    assert sources("bad cab") == ["bd cb\n"]
    assert sources("bd cb") == ["bd cb\n"]  # whoever leaves the vowels out gets the same
    assert sources("\nab\n\ncd\n") == ["b\n", "cd\n"]
    assert sources("ea\nbc\na") == ["bc\n"]  # nothing is left to read of the other lines
    assert sources("bc bc bc bc") == ["bc bc\n", "bc bc\n"]  # six of twelve, for it is up to twice as long when whole
    assert sources("aba aba aba aba") == ["b b b\n", "b\n"]  # a whole line is wrapped as it stands
    for nothing in ("aea", "\n", "e\n\na"):
        with pytest.raises(VocabularyError) as caught:
            model.sources(encoded(nothing))
        assert_one_sentence(caught.value, "Nothing is left to read")


def test_every_character_of_the_source_matters_and_the_future_does_not(model):
    x, source = ids(7, 2, 6), torch.tensor([[3, 4, 1, 5, 0], [5, 5, 3, 0, -1]])
    before, _ = model(x, source=source)
    for place in range(4):
        changed = source.clone()
        changed[:, place] = (changed[:, place] % 6) + 1
        assert not torch.isclose(model(x, source=changed)[0], before).all(-1).any()
    for t in range(6):
        later = x.clone()
        later[:, t] = (later[:, t] + 1) % 7
        assert torch.equal(model(later, source=source)[0][:, :t], before[:, :t])


def test_what_fills_a_row_up_changes_nothing(model):
    """Neither in the source nor in the line; and the loss is the mean over what is scored."""
    x, y, source = ids(7, 1, 5), ids(7, 1, 5, seed=1), torch.tensor([[3, 4, 0]])
    logits, loss = model(x, y, source)
    filled_source = torch.cat((source, torch.full((1, 4), -1)), dim=1)
    filled_x, filled_y = torch.cat((x, torch.zeros((1, 3), dtype=torch.long)), dim=1), y.new_full((1, 8), -100)
    filled_y[:, :5] = y
    again, loss_again = model(filled_x, filled_y, filled_source)
    torch.testing.assert_close(again[:, :5], logits)
    torch.testing.assert_close(loss_again, loss)
    assert loss.item() == pytest.approx(-logits.log_softmax(-1).gather(-1, y[..., None]).mean().item(), abs=1e-5)


def test_the_order_of_the_source_matters(model):
    one, other = (model(ids(7, 1, 5), source=torch.tensor([source]))[0] for source in ([3, 4, 0], [4, 3, 0]))
    assert not torch.allclose(one, other)


def test_its_parts_and_its_size():
    model = EncoderDecoder(EncoderDecoderConfig())
    attention = {f"{name}.weight" for name in ("query", "key", "value", "proj")}
    ffwd = {"ffwd.fc.weight", "ffwd.proj.weight"}
    encoder = {f"sa.{name}" for name in attention} | ffwd
    expected = {"token_embedding_table.weight", "lm_head.weight"}
    expected |= {f"encoder_blocks.{n}.{name}" for n in range(4) for name in encoder}
    expected |= {f"blocks.{n}.{name}" for n in range(4) for name in encoder | {f"ca.{name}" for name in attention}}
    assert set(model.state_dict()) == expected
    assert model.num_parameters == 1_851_648


def test_a_source_is_read_once_and_a_line_one_character_at_a_time(model, monkeypatch):
    encoded_sources, read = [], []
    encode, embed = model.encode, model.embed
    monkeypatch.setattr(model, "encode", lambda *given: encoded_sources.append(given[0].tolist()) or encode(*given))
    monkeypatch.setattr(model, "embed", lambda idx: read.append(tuple(idx.shape)) or embed(idx))
    text = list(stream(model, encoded("bc\ndd").tolist(), SamplingParams(40, temperature=0)))
    assert encoded_sources == [[[3, 4, 0]], [[5, 5, 0]]]
    assert Counter(read) == Counter({(1, 3): 2, (1, 1): len(text) + 1})  # the newline that a text begins from, too


def test_a_prompt_is_read_from_its_last_page_on(model):
    assert decoder_for(model).longest_prompt == 2_000
    page = encoded("bcd\n" * 500)
    params = SamplingParams(30, temperature=0)
    expected = list(stream(model, page.tolist(), params))
    assert list(stream(model, [5, 5, 5, 0, *page.tolist()], params)) == expected


def test_calls_that_make_no_sense_are_refused(model):
    with pytest.raises(ConfigError, match="temperature must be"):
        model.generate(encoded("bc")[None], 5, temperature=-1)
    with pytest.raises(VocabularyError, match="no token 7"):
        model.generate(torch.tensor([[7]]), 5)
    for nothing in ("aea", "\n"):
        with pytest.raises(VocabularyError, match="Nothing is left to read"):
            stream(model, encoded(nothing).tolist(), SamplingParams(5))
        with pytest.raises(VocabularyError, match="Nothing is left to read"):
            Engine(model).submit(encoded(nothing).tolist(), SamplingParams(5))


def test_the_smallest_context_is_a_newline_and_a_character():
    with pytest.raises(ConfigError, match="block_size must be a whole number from 2"):
        EncoderDecoderConfig(block_size=1)
    small = spread(EncoderDecoder(EncoderDecoderConfig(**vars(SMALL) | {"block_size": 2})), std=0.4).eval()
    assert [source.tolist() for source in small.sources(encoded("bcd"))] == [[3, 0], [4, 0], [5, 0]]
    written = list(stream(small, encoded("bcd").tolist(), SamplingParams(20)))
    assert len(written) <= 5 and written.count(0) == 2  # each line has a character at most


def test_no_source_is_an_empty_line(model):
    x = ids(7, 2, 5)
    assert torch.equal(model(x)[0], model(x, source=torch.zeros((2, 1), dtype=torch.long))[0])


def test_the_cursor_stands_on_the_next_consonant(model):
    assert model.cursor(encoded("\nabe cad")[None]).tolist() == [[0, 0, 1, 1, 2, 3, 3, 4]]


def test_cross_attention_depends_on_how_far_apart_cursor_and_source_are():
    """Turned by equal angles, query and key see only the distance."""
    attention = spread(Attention(SMALL))
    model = EncoderDecoder(SMALL)
    x, y = torch.randn(1, 1, 16), torch.randn(1, 1, 16)

    def score(cursor: int, place: int) -> torch.Tensor:
        q = attention.ask(x, *model.angles(torch.tensor([[cursor]])))
        k, _ = attention.offer(y, *model.angles(torch.tensor([place])))
        return (q * k).sum(-1)

    torch.testing.assert_close(score(3, 5), score(13, 15), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(score(3, 5), score(3, 6))


PROMPTS = (
    st.lists(st.text(ALPHABET[1:], max_size=14), min_size=1, max_size=4).map("\n".join).filter(set(" bcd").intersection)
)


@given(PROMPTS, st.integers(1, 60), st.sampled_from([0.0, 1.0]), st.integers(0, 1_000))
def test_a_stream_is_what_generate_restores(model, prompt, length, temperature, seed):
    """All is read anew there, and here once; the end of the last line ends the text."""
    x = encoded(prompt)
    params = SamplingParams(length, temperature, seed=seed)
    restored = model.generate(x[None], length, temperature, generator=params.make_generator())[0, len(x) :].tolist()
    written = list(stream(model, x.tolist(), params))
    assert restored[: len(written)] == written
    assert set(restored[len(written) :]) <= {0}
    if len(written) < length:
        assert written.count(0) == len(model.sources(x)) - 1  # a newline between two lines, and none left over


def test_many_are_restored_as_each_alone(model):
    prompts = [encoded(text) for text in ("bcd", "b\nc\nd", "dcb ddd", "ce", "cccc\nbbbb")]
    params = [SamplingParams(40, 1.0, seed=seed) for seed in range(len(prompts))]
    engine = Engine(model)
    streams = [engine.submit(prompt.tolist(), p) for prompt, p in zip(prompts, params, strict=True)]
    together = [list(one) for one in streams]
    engine.close()
    assert together == [list(stream(model, prompt.tolist(), p)) for prompt, p in zip(prompts, params, strict=True)]


def test_rows_come_and_go(model):
    """Whoever leaves gives its place to the last one, in the middle of their lines."""
    rows, alone = decoder_for(model).rows(), [decoder_for(model).rows() for _ in range(4)]
    prompts = [encoded(text)[None] for text in ("bcd\nbb", "ccc", "d\nd\nd", "bdbd")]
    with torch.no_grad():
        for prompt, own in zip(prompts, alone, strict=True):
            torch.testing.assert_close(rows.join(prompt), own.join(prompt), atol=1e-5, rtol=0)
        for turn in range(8):
            newest = ids(7, len(alone), 1, seed=turn)
            expected = torch.cat([own.step(token[None]) for own, token in zip(alone, newest, strict=True)])
            torch.testing.assert_close(rows.step(newest), expected, atol=1e-4, rtol=0)
            if turn in (2, 5):
                rows.leave(0)
                alone[0] = alone.pop()
        torch.testing.assert_close(rows.join(prompts[0]), decoder_for(model).rows().join(prompts[0]))


def test_a_line_ends_where_its_context_does(model):
    """However sure the model is of other characters."""
    rows = decoder_for(model).rows()
    with torch.no_grad():
        logits = rows.join(encoded("bc")[None])
        for _ in range(SMALL.block_size - 1):
            assert logits.isfinite().all()
            logits = rows.step(torch.tensor([[3]]))
    assert logits.argmax() == 0 and logits.isinf().sum() == 6


def test_it_learns_to_read_its_source():
    """Lines whose vowels only the consonants before them tell: restored, where without a source they cannot be."""
    draw = torch.Generator().manual_seed(0)
    pairs = {"b": "ba", "c": "ce", "d": "d"}  # one vowel after b, another after c, none after d

    def some(count: int) -> torch.Tensor:
        lengths = torch.randint(2, 7, (count,), generator=draw).tolist()
        words = ["".join("bcd"[i] for i in torch.randint(3, (length,), generator=draw)) for length in lengths]
        return encoded("".join("".join(pairs[c] for c in word) + "\n" for word in words))

    model = make(EncoderDecoder, EncoderDecoderConfig(**vars(SMALL) | {"n_embd": 32, "block_size": 16}))
    dataset = model.dataset(some(500))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        _, loss = model(**dataset.draw(32, draw))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right, shuffled, none = (exact_loss(model, some(100), source).nats_per_character for source in model.protocols)
    assert right < 0.1
    assert 0.3 < none < shuffled
    restored = list(stream(model.eval(), encoded("bcd\ndcb").tolist(), SamplingParams(60, temperature=0)))
    assert "".join(ALPHABET[i] for i in restored) == "baced\ndceba"
