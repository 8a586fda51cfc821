"""The one way of writing: rows that join, step and leave, whatever is in them, and the fastest way for each type."""

import pytest
import torch
from helpers import VOCABULARY, PrefixModel, ids, spread
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.inference.decoder import CountingDecoder, decoder_for
from modelcraft.inference.engine import Engine
from modelcraft.inference.gpt import GPTDecoder
from modelcraft.inference.rows import Decoder, Rows
from modelcraft.inference.stream import stream
from modelcraft.ladder import RUNGS
from modelcraft.model import ModelConfig
from modelcraft.sampling import SamplingParams

V = len(VOCABULARY)


@given(
    st.integers(1, 6), st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 8), st.integers(0, 2**30)
)
def test_texts_of_any_lengths_are_written_as_generate_writes_them(block_size, lengths, new, seed):
    model = spread(PrefixModel(ModelConfig(vocab_size=V, block_size=block_size)), seed)
    prompts = [ids(V, 1, length, seed=seed + row) for row, length in enumerate(lengths)]
    rows = Rows(model)
    with torch.no_grad():
        logits = torch.cat([rows.join(prompt) for prompt in prompts])  # (B, V)
        written = [logits.argmax(-1)]
        for _ in range(new - 1):
            written.append(rows.step(written[-1][:, None]).argmax(-1))
    for row, prompt in enumerate(prompts):
        expected = model.generate(prompt, new, temperature=0)[0, prompt.shape[1] :]
        assert torch.equal(torch.stack(written)[:, row], expected)


def test_texts_of_one_length_are_read_together_and_the_last_takes_the_place_of_who_leaves(language_model):
    read, forward = [], language_model.forward
    language_model.forward = lambda idx, targets=None: (read.append(tuple(idx.shape)), forward(idx, targets))[1]
    rows = Rows(language_model)
    with torch.no_grad():
        for prompt in ([1], [2, 3], [4, 5, 0, 1], [5]):
            rows.join(torch.tensor([prompt]))
        read.clear()
        rows.step(torch.tensor([[0], [1], [2], [3]]))
        assert sorted(read) == [(1, 3), (1, 4), (2, 2)]
        rows.leave(1)
        assert [text.tolist() for text in rows.texts] == [[1, 0], [5, 3], [5, 0, 1, 2]]


class Upside(GPTLanguageModel):
    """A GPT that looks its characters up in another way."""

    def embed(self, idx):
        return -super().embed(idx.flip(0) if len(idx) > 1 else idx)


def test_a_subclass_writes_by_its_own_forward():
    """The parent's way, faster, would write the parent's text."""
    model = spread(Upside(GPTConfig(V, 8, 16, 1, 2, 1, dropout=0.0, noise=0.0)), std=0.5).eval()
    params = SamplingParams(30, temperature=0)
    expected = model.generate(torch.tensor([[1, 2]]), 30, temperature=0)[0, 2:].tolist()
    assert list(stream(model, [1, 2], params)) == expected
    assert list(Engine(model).submit([1, 2], params)) == expected
    parent = GPTLanguageModel(model.config).eval()
    parent.load_state_dict(model.state_dict())
    assert list(stream(parent, [1, 2], params)) != expected


def test_the_way_goes_by_the_exact_type():
    for name, expected in (("bigram", Decoder), ("gpt-mini", GPTDecoder), ("counting", CountingDecoder)):
        assert type(decoder_for(RUNGS[name].build(RUNGS[name].config))) is expected


@pytest.mark.parametrize("name", RUNGS)
def test_many_are_written_as_each_alone(name):
    """Of every rung: prompts of different lengths join and leave, and each row's logits stay what they are alone."""
    rung = RUNGS[name]
    parts = [RUNGS[part].build(RUNGS[part].config) for part in rung.parts]
    model = rung.build(rung.config, parts=parts)
    if not rung.parts and name != "counting":
        spread(model, std=0.2)
    decoder = decoder_for(model.eval())
    prompts = [ids(65, length, seed=length) for length in (1, 3, 9, 3)]
    together, alone = decoder.rows(), [decoder.rows() for _ in prompts]
    with torch.no_grad():
        expected = torch.cat([own.join([prompt]) for prompt, own in zip(prompts, alone, strict=True)])
        for joining, some in ((prompts[:1], expected[:1]), (prompts[1:], expected[1:])):  # the last three at once
            torch.testing.assert_close(together.join(joining), some, atol=1e-4, rtol=0)
        for turn in range(6):
            newest = ids(65, len(alone), 1, seed=turn)
            expected = torch.cat([own.step(token[None]) for own, token in zip(alone, newest, strict=True)])
            torch.testing.assert_close(together.step(newest), expected, atol=1e-4, rtol=0)
            if turn == 2:
                together.leave(0)
                alone[0] = alone.pop()
        if not model.continues:  # each of its lines is read by itself, however long all of them are
            return
        long = ids(65, 1, model.block_size + 5)
        torch.testing.assert_close(together.join(long), together.join(long[:, -model.block_size :]))


@pytest.mark.parametrize("name", ["block", "counting", "gpt-mini", "blend"])
def test_a_prompt_that_cannot_be_read_leaves_no_row_behind(name, monkeypatch):
    model = RUNGS[name].build(
        RUNGS[name].config, parts=[RUNGS[one].build(RUNGS[one].config) for one in RUNGS[name].parts]
    )
    rows, fresh = decoder_for(model.eval()).rows(), decoder_for(model).rows()

    def breaks(*_):
        raise MemoryError

    with torch.no_grad():
        for one in (rows, fresh):
            one.join(ids(65, 1, 3))
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(torch.nn.functional, "embedding", breaks)
            patch.setattr(torch, "searchsorted", breaks)
            rows.join(ids(65, 1, 5))
        if name == "blend":
            with monkeypatch.context() as patch, pytest.raises(MemoryError):
                patch.setattr(torch.nn.functional, "embedding", breaks)
                rows.join(ids(65, 1, 5))
        for one in (rows, fresh):
            one.join(ids(65, 1, 4))
        newest = ids(65, 2, 1)
        assert torch.equal(rows.step(newest), fresh.step(newest))
