"""Rung: the encoder–decoder."""

import math
import random

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_one_sentence, ids, make, spread

from modelcraft.dialogue import Dialogue
from modelcraft.encoder_decoder import (
    Attention,
    DecoderBlock,
    EncoderBlock,
    EncoderDecoder,
    EncoderDecoderConfig,
    KeysAndValues,
    attend,
)
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.stream import stream
from modelcraft.loss import exact_loss
from modelcraft.multihead import MultiHeadAttention
from modelcraft.residual import BlockConfig
from modelcraft.sampling import SamplingParams, sample
from modelcraft.support.errors import ConfigError

SMALL = EncoderDecoderConfig(vocab_size=7, block_size=6, n_embd=8, n_layer=2, newline=2)
BLOCK = BlockConfig(vocab_size=9, block_size=6, n_embd=8, n_layer=2)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- the blocks of the encoder–decoder ---


def mask(*shape: int) -> torch.Tensor:
    """A mask in which everybody sees at least one."""
    visible = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    visible[..., 0] = True
    return visible


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 1, 4, 5), (4, 5), (2, 3, 4, 5), (2, 1, 1, 5)])
def test_the_clear_attention_is_torchs_own(shape):
    q, k, v = numbers(2, 3, 4, 6), numbers(2, 3, 5, 6, seed=1), numbers(2, 3, 5, 6, seed=2)
    visible = mask(*shape)
    torch.testing.assert_close(attend(q, k, v, visible), F.scaled_dot_product_attention(q, k, v, visible))


def test_the_clear_attention_has_dropout():
    q, k, v = numbers(1, 1, 1, 4), numbers(1, 1, 400, 4), torch.ones(1, 1, 400, 4)
    torch.manual_seed(0)
    out = attend(q * 0, k, v, mask(1, 400) | True, 0.5)[0, 0, 0, 0]
    assert out.item() != pytest.approx(1, abs=1e-6) and out.item() == pytest.approx(1, abs=0.2)


def test_many_heads_in_one_matrix_are_many_heads():
    clear = spread(MultiHeadAttention(BLOCK))
    fast = Attention(BLOCK)
    for name in ("key", "query", "value"):
        rows = torch.cat([getattr(head, name).weight for head in clear.heads])
        getattr(fast, name).load_state_dict({"weight": rows})
    fast.proj.load_state_dict(clear.proj.state_dict())
    x = numbers(2, 6, 8)
    past = torch.ones(6, 6, dtype=torch.bool).tril()
    torch.testing.assert_close(fast(x, *fast.offer(x), past), clear(x))


def test_an_encoder_block_is_a_block_without_the_mask():
    block = spread(EncoderBlock(BLOCK), std=0.3)
    x = numbers(2, 6, 8)
    everything = torch.ones(1, 1, 1, 6, dtype=torch.bool)
    before = block(x, everything)
    for s in range(6):
        changed = x.clone()
        changed[:, s] += numbers(8)
        assert not torch.isclose(block(changed, everything), before).all(-1).any()  # all look at all
    hidden = everything.clone()
    hidden[..., 4:] = False
    torch.testing.assert_close(block(x, hidden)[:, :4], block(x[:, :4], everything[..., :4]))


def test_a_decoder_block_looks_back_and_across():
    block = spread(DecoderBlock(BLOCK), std=0.3)
    x, speech = numbers(2, 4, 8), numbers(2, 5, 8, seed=1)
    visible = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    before = block(x, *block.ca.offer(speech), visible)
    for s in range(5):
        changed = speech.clone()
        changed[:, s] += numbers(8)
        assert not torch.isclose(block(x, *block.ca.offer(changed), visible), before).all(-1).any()
    for t in range(4):
        changed = x.clone()
        changed[:, t] += numbers(8)
        after = block(changed, *block.ca.offer(speech), visible)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.isclose(after[:, t:], before[:, t:]).all(-1).any()


def test_a_decoder_block_reads_in_pieces():
    block = spread(DecoderBlock(BLOCK), std=0.3)
    x, speech = numbers(2, 6, 8), numbers(2, 5, 8, seed=1)
    visible, known = mask(2, 1, 1, 5), KeysAndValues()
    offered = block.ca.offer(speech)
    pieces = [block(piece, *offered, visible, known) for piece in x.split([2, 1, 3], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), block(x, *offered, visible))


# --- the model ---


@pytest.fixture
def model() -> EncoderDecoder:
    """A small one with opinions, which ends about every third line and every ninth reply."""
    model = spread(EncoderDecoder(SMALL), std=0.4).eval()
    with torch.no_grad():
        model.lm_head.bias[SMALL.newline] = 1.5
    return model


def told(model, prompt: list[int], written: list[int]) -> torch.Tensor:
    """What the next logits (1, V) must be, by the rules of the game alone."""
    newline, size = model.config.newline, model.block_size
    speech, reply = prompt, []
    for token in written:
        if speech[-2:] != [newline, newline]:
            speech = [*speech, token]
            continue
        reply.append(token)
        if reply[-2:] == [newline, newline]:
            speech, reply = reply, []
    if speech[-2:] != [newline, newline]:
        certain = torch.full((1, model.config.vocab_size), -torch.inf)
        certain[0, newline] = 0
        return certain
    speech = speech[-size:]
    while speech and speech[-1] == newline:
        speech = speech[:-1]
    for k in range(len(speech) - 1, 0, -1):
        if speech[k - 1 : k + 1] == [newline, newline]:
            speech = speech[k + 1 :]
            break
    idx = torch.tensor([([newline, *reply])[-size:]])
    with torch.no_grad():
        logits, _ = model(idx, source=torch.tensor([speech], dtype=torch.long))
    return logits[:, -1]


def test_its_parts_and_its_size():
    model = EncoderDecoder(EncoderDecoderConfig())
    assert 800_000 < model.num_parameters < 1_500_000
    parts = {name.split(".")[0] for name in model.state_dict()}
    assert {"token_embedding_table", "position_embedding_table", "encoder_blocks", "blocks", "ln_f", "lm_head"} < parts
    of_a_block = {name.split(".")[2] for name in model.state_dict() if name.startswith("blocks.")}
    assert of_a_block == {"sa", "ca", "ffwd", "ln1", "ln2", "ln_ca"}
    assert not list(model.buffers())


def test_the_newline_is_a_character():
    assert EncoderDecoderConfig(newline=64).newline == 64
    for wrong in (-1, 65, True):
        with pytest.raises(ConfigError) as caught:
            EncoderDecoderConfig(newline=wrong)
        assert_one_sentence(caught.value, "newline must be")


def test_the_first_loss_is_that_of_guessing():
    model = make(EncoderDecoder, EncoderDecoderConfig(block_size=32)).eval()
    _, loss = model(ids(65, 16, 32), ids(65, 16, 32, seed=1), ids(65, 16, 20, seed=2))
    assert loss.item() == pytest.approx(math.log(65), abs=0.06)


def test_a_reply_sees_its_past_and_all_of_the_speech(model):
    x, source = ids(7, 2, 6), ids(7, 2, 5, seed=1)
    before, _ = model(x, source=source)
    for t in range(6):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % 7
        after, _ = model(changed, source=source)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.isclose(after[:, t:], before[:, t:]).all(-1).any()
    for s in range(5):
        changed = source.clone()
        changed[:, s] = (changed[:, s] + 1) % 7
        after, _ = model(x, source=changed)
        assert not torch.isclose(after, before).all(-1).any()


def test_the_order_of_the_speech_matters(model):
    x, source = ids(7, 1, 4), torch.tensor([[3, 4, 5, 6]])
    assert not torch.allclose(model(x, source=source)[0], model(x, source=source.flip(1))[0])


def test_what_fills_a_row_up_influences_nothing(model):
    sources = [[3, 4, 5, 6, 0, 1], [4], [], [2, 2, 5]]
    replies = [[2, 3], [2, 4, 5, 6, 3], [2], [2, 1, 1, 1, 1, 1]]
    answers = [[3, 2], [4, 5, 6, 3, 2], [0], [1, 1, 1, 1, 1, 1]]

    def filled(rows, filling):
        return torch.tensor([row + [filling] * (6 - len(row)) for row in rows])

    logits, loss = model(filled(replies, 2), filled(answers, -100), filled(sources, -1))
    other, other_loss = model(filled(replies, 5), filled(answers, -100), filled(sources, -1))
    total, characters = 0.0, 0
    for row, (source, reply, answer) in enumerate(zip(sources, replies, answers, strict=True)):
        source = torch.tensor([source], dtype=torch.long)  # noqa: PLW2901
        alone, alone_loss = model(torch.tensor([reply]), torch.tensor([answer]), source)
        n = len(reply)
        torch.testing.assert_close(logits[row, :n], alone[0], atol=1e-5, rtol=1e-5)
        assert torch.equal(logits[row, :n], other[row, :n])
        total, characters = total + alone_loss.item() * n, characters + n
    assert loss.item() == pytest.approx(total / characters, abs=1e-5)
    assert loss.item() == other_loss.item()


def test_no_speech_is_a_speech_of_no_characters(model):
    model.train()
    x, y = ids(7, 2, 6), ids(7, 2, 6, seed=1)
    logits, loss = model(x, y)
    assert logits.isfinite().all()
    for empty in (torch.zeros((2, 0), dtype=torch.long), torch.full((2, 3), -1)):
        torch.testing.assert_close(model(x, source=empty)[0], logits)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert not torch.allclose(model(x, source=ids(7, 2, 3))[0], logits)


def test_a_speech_is_ended_before_it_is_answered(model):
    for said, owed in (([3, 4], 2), ([3, 4, 2], 1), ([3, 4, 2, 2], 0), ([2], 1), ([3, 2, 2, 2], 0)):
        written = list(stream(model, said, SamplingParams(max_new_tokens=6, temperature=1.0, seed=1)))
        assert written[:owed] == [SMALL.newline] * owed
        # From there on it is the text that follows the ended speech.
        with torch.no_grad():
            logits = decoder_for(model).rows().join(torch.tensor([[*said, *written[:owed]]]))
            torch.testing.assert_close(logits, told(model, said, written[:owed]), atol=1e-4, rtol=0)


def test_one_batch_is_learned_by_heart():
    config = EncoderDecoderConfig(vocab_size=7, block_size=8, n_embd=32, n_head=2, n_layer=1)
    model = make(EncoderDecoder, config)
    x, y, source = ids(7, 8, 8), ids(7, 8, 8, seed=1), ids(7, 8, 6, seed=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(200):
        _, loss = model(x, y, source)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


@pytest.mark.parametrize("length", [1, 4, 6, 7, 15])
def test_steps_follow_the_rules(model, length):
    """Prompts shorter than, equal to and longer than the context; replies that end, and that outgrow it."""
    prompts = ids(7, 3, length, seed=length)
    draws = random.Random(length)
    written = [draws.choices(range(7), [1, 1, 4, 1, 1, 1, 1], k=60) for _ in range(3)]
    written[0] = [0] * 20 + written[0][:40]  # a long reply for certain
    written[1] = [2] * 10 + written[1][:50]  # and empty ones: a blank line at once
    rows = decoder_for(model).rows()
    with torch.no_grad():
        logits = torch.cat([rows.join(prompt[None]) for prompt in prompts])
        for k in range(60):
            expected = torch.cat([told(model, prompts[row].tolist(), written[row][:k]) for row in range(3)])
            torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
            logits = rows.step(torch.tensor([[row[k]] for row in written]))


@pytest.mark.parametrize("length", [1, 6, 13])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generate_and_steps_write_the_same(model, length, temperature):
    prompts, params = ids(7, 4, length, seed=length), SamplingParams(max_new_tokens=80, temperature=temperature)
    text = model.generate(prompts, 80, temperature=temperature, generator=torch.Generator().manual_seed(1))
    assert text.shape == (4, length + 80) and torch.equal(text[:, :length], prompts)
    if temperature:
        assert any(row[length:].tolist() != text[0, length:].tolist() for row in text[1:])
        pairs = (text[:, length:-1] == SMALL.newline) & (text[:, length + 1 :] == SMALL.newline)
        assert pairs.sum() > 3  # the play went on
    rows, newest, generator = decoder_for(model).rows(), prompts, torch.Generator().manual_seed(1)
    for k in range(80):
        with torch.no_grad():
            logits = rows.step(newest) if k else torch.cat([rows.join(prompt[None]) for prompt in prompts])
            newest = sample(logits, params, generator)[:, None]
        assert torch.equal(newest[:, 0], text[:, length + k])


def test_a_stream_is_the_reply(model):
    prompt = [3, 4, 5]
    tokens = list(stream(model, prompt, SamplingParams(max_new_tokens=50, temperature=1.0, seed=4)))
    expected = model.generate(torch.tensor([prompt]), 50, generator=torch.Generator().manual_seed(4))
    assert tokens == expected[0, 3:].tolist()


def test_a_speech_is_read_once_and_a_reply_one_character_at_a_time(model):
    encoded, decoded = [], []
    model.encoder_blocks[0].register_forward_hook(lambda module, args, out: encoded.append(args[0].shape[1] - 1))
    model.blocks[0].register_forward_hook(lambda module, args, out: decoded.append(args[0].shape[1]))
    rows = decoder_for(model).rows()
    with torch.no_grad():
        rows.join(torch.tensor([[3, 4, 5, 2, 2]]))
        for token in (3, 4, 2, 2, 5, 5, 5, 5, 5, 5, 5):
            rows.step(torch.tensor([[token]]))
    assert encoded == [3, 2]  # the prompt; then the reply "3 4", which the model answers itself
    assert decoded == [1, 1, 1, 1] + [1] + [1] * 5 + [6, 6]  # past the context all of it is read again


def test_the_calls_that_make_no_sense_are_refused(model):
    with pytest.raises(ConfigError, match="temperature"):
        model.generate(ids(7, 1, 1), 1, temperature=-1)
    with pytest.raises(ValueError, match="no token 7"):
        model.generate(torch.tensor([[7]]), 1)


def test_it_runs_on_meta():
    with torch.device("meta"):
        model = EncoderDecoder(SMALL)
    x = torch.zeros((2, 6), dtype=torch.long, device="meta")
    for source in (None, x, x[:, :0]):
        logits, loss = model(x, x, source)
        assert logits.is_meta and logits.shape == (2, 6, 7)
        loss.backward()
    rows = decoder_for(model).rows()
    for length in (4, 6):
        assert rows.join(x[:1, :length]).shape == (1, 7)
    assert rows.step(x[:, :1]).shape == (2, 7)
    assert model.generate(x, 9).shape == (2, 15)


def test_it_runs_in_bf16():
    model = make(EncoderDecoder, EncoderDecoderConfig(block_size=16, n_embd=32, dropout=0.1))
    x, y, source = ids(65, 4, 16), ids(65, 4, 16, seed=1), ids(65, 4, 9, seed=2)
    source[0] = -1
    with torch.autocast("cpu", torch.bfloat16):
        _, loss = model(x, y, source)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(65), abs=0.1)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_dropout_hides_while_training_only():
    torch.manual_seed(0)
    config = EncoderDecoderConfig(block_size=8, n_embd=16, dropout=0.5)
    model, x = make(EncoderDecoder, config), ids(65, 2, 8)
    assert not torch.equal(model(x, source=x)[0], model(x, source=x)[0])
    model.eval()
    assert torch.equal(model(x, source=x)[0], model(x, source=x)[0])


def play(speeches: int, seed: int) -> torch.Tensor:
    """A play that only makes sense together: each character is one more than that of the speech before, usually."""
    draws = random.Random(seed)
    speech, written = [0, 0, 0], []
    for _ in range(speeches):
        speech = [(c + 1) % 6 if draws.random() < 0.9 else draws.randrange(6) for c in speech]
        written += [1 + c for c in speech] + [0, 0]
    return torch.tensor(written)


def test_it_answers_what_was_said():
    model = make(EncoderDecoder, EncoderDecoderConfig(vocab_size=7, block_size=8, n_embd=32, n_head=2, n_layer=1))
    dialogue, val_data = Dialogue(play(2_000, seed=1), 0, 8), play(300, seed=2)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 300)
        _, loss = model(**dialogue.draw(32, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    exact = {source: exact_loss(model, val_data, source) for source in ("right", "shuffled", "none")}
    right, shuffled, none = (loss.nats_per_character for loss in exact.values())
    assert {loss.characters for loss in exact.values()} == {299 * 5}
    # Three of five characters are letters; a letter's entropy given the speech, and without it:
    given, unknown = -11 / 12 * math.log(11 / 12) - 5 / 60 * math.log(1 / 60), math.log(6)
    assert right == pytest.approx(0.6 * given, abs=0.08)
    assert none == pytest.approx(0.6 * unknown, abs=0.08)
    assert shuffled > none + 0.3
