"""The GPT: no look into the future, one memory for all ways of reading, and a start that knows nothing."""

import math

import pytest
import torch
from torch.nn import init

from modelcraft.gpt import GPTConfig, GPTLanguageModel, attend, norm, rotate
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.gpt import GPTDecoder
from modelcraft.inference.gpt_compiled import CompiledStep, lone_step
from modelcraft.inference.gpt_step import KVCache, StepWeights, packed, step_all
from modelcraft.inference.stream import SamplingParams, stream
from modelcraft.ladder import RUNGS
from modelcraft.model import seeded
from modelcraft.store.folder import round_to
from modelcraft.support.device import has_compiler
from modelcraft.support.errors import ConfigError

CONFIG = GPTConfig(vocab_size=11, block_size=8, n_embd=32, n_layer=2, n_head=4, n_kv_head=2, dropout=0.0, noise=0.0)


def make_model(config: GPTConfig = CONFIG, random: bool = True) -> GPTLanguageModel:
    """An untrained model; `random` fills in what starts at zero, without which nothing would depend on anything."""
    with seeded(1):
        model = GPTLanguageModel(config)
        if random:
            for parameter in model.parameters():
                init.normal_(parameter, std=0.3)
    return model.eval()


def some_ids(*shape: int, vocab_size: int = 11) -> torch.Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(5))


def test_an_untrained_model_knows_nothing():
    model = make_model(GPTConfig(n_layer=1), random=False)
    idx = some_ids(2, 9, vocab_size=65)
    logits, loss = model(idx, idx)
    assert logits.shape == (2, 9, 65)
    assert loss.item() == pytest.approx(math.log(65), abs=1e-6)


@pytest.mark.parametrize("length", [8, 20])  # within the context, and with the band
def test_no_look_into_the_future(length):
    model = make_model()
    idx = some_ids(2, length)
    before, _ = model(idx)
    for t in range(1, length):
        changed = idx.clone()
        changed[:, t] = (changed[:, t] + 1) % 11
        after, _ = model(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.equal(after[:, t], before[:, t])


def test_each_layer_looks_back_one_context():
    model = make_model()
    idx = some_ids(1, 40)
    before, _ = model(idx)
    changed = idx.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 11
    differs = (model(changed)[0] - before).abs().amax(-1)[0] > 1e-6
    reach = 10 + CONFIG.n_layer * (CONFIG.block_size - 1)
    assert differs[reach]
    assert not differs[reach + 1 :].any()


@pytest.mark.parametrize("length", [1, 5, 8])
@pytest.mark.parametrize("heads", [(4, 2), (4, 4), (2, 1)], ids=str)
def test_with_a_memory_as_without(length, heads):
    """Within the context and far beyond it: against a forward with a band over everything that was read."""
    model = make_model(GPTConfig(11, 8, 32, 2, *heads, dropout=0.0))
    idx = some_ids(3, 40)
    rows = decoder_for(model).rows()
    with torch.no_grad():
        full, _ = model(idx)
        logits = torch.cat([rows.join(one[None, :length]) for one in idx])
        for at in range(length, 40):
            torch.testing.assert_close(logits, full[:, at - 1], atol=1e-4, rtol=0)
            logits = rows.step(idx[:, at : at + 1])


def test_rows_of_different_age():
    """Rows that joined at different times go through one step together and are not disturbed by each other."""
    model = make_model()
    idx = some_ids(3, 30)
    decoder, ages = decoder_for(model), [1, 3, 8]
    with torch.no_grad():
        together, alone = decoder.rows(), [decoder.rows() for _ in ages]
        for text, age, own in zip(idx, ages, alone, strict=True):
            assert torch.equal(together.join(text[None, :age]), own.join(text[None, :age]))
        for n in range(12):
            new = torch.stack([idx[row, age + n : age + n + 1] for row, age in enumerate(ages)])
            expected = torch.cat([own.step(token[None]) for own, token in zip(alone, new, strict=True)])
            torch.testing.assert_close(together.step(new), expected, atol=1e-5, rtol=0)


def test_a_row_sees_nothing_of_the_text_that_had_its_place():
    decoder = decoder_for(make_model())
    with torch.no_grad():
        rows, fresh = decoder.rows(), decoder.rows()
        rows.join(some_ids(1, 8))
        for token in some_ids(20):
            rows.step(token.view(1, 1))
        rows.leave(0)
        assert torch.equal(rows.join(torch.tensor([[1, 2]])), fresh.join(torch.tensor([[1, 2]])))
        for token in some_ids(20):
            assert torch.equal(rows.step(token.view(1, 1)), fresh.step(token.view(1, 1)))


def test_a_stream_is_written_by_the_weights_of_its_time():
    model, greedy = make_model(), SamplingParams(5, temperature=0)
    before = model.generate(torch.tensor([[1, 2, 3]]), 5, temperature=0)[0, 3:].tolist()
    assert list(stream(model, [1, 2, 3], greedy)) == before
    with torch.no_grad():
        model.lm_head.weight.neg_()
    after = model.generate(torch.tensor([[1, 2, 3]]), 5, temperature=0)[0, 3:].tolist()
    assert list(stream(model, [1, 2, 3], greedy)) == after != before


def test_attention_is_that_of_pytorch():
    q, k, v = (torch.randn(2, heads, 7, 16) for heads in (4, 2, 2))
    mask = torch.ones(7, 7).tril().bool()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    torch.testing.assert_close(attend(q, k, v, mask), expected)


def test_rotation_keeps_lengths_and_sees_only_distances():
    model = make_model()
    q, k = torch.randn(2, 1, 8)

    def product(query_at: int, key_at: int) -> torch.Tensor:
        cos, sin = model.angles(torch.tensor([query_at, key_at]))  # (2, 1, hs/2)
        return (rotate(q, cos[0], sin[0]) * rotate(k, cos[1], sin[1])).sum()

    cos, sin = model.angles(torch.tensor([12]))
    torch.testing.assert_close(rotate(q, cos[0], sin[0]).norm(), q.norm())
    torch.testing.assert_close(product(5, 2), product(12, 9))
    assert not torch.isclose(product(5, 2), product(9, 2))


def test_norm_makes_a_mean_square_of_one():
    x = 7 * torch.randn(3, 32)
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(3))


def test_it_asks_for_the_noise_of_its_config():
    assert make_model().noise == 0.0
    assert GPTLanguageModel(GPTConfig(noise=0.125)).noise == 0.125


def test_the_cap_holds():
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(1000)
        logits, _ = model(some_ids(2, 8))
    assert logits.abs().max() <= CONFIG.logit_cap


def test_one_batch_is_learned_by_heart():
    model = make_model(random=False).train()
    idx = some_ids(2, 9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        _, loss = model(idx[:, :-1], idx[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


def test_on_the_meta_device():
    rung = RUNGS["gpt"]
    model = rung.build(rung.config, device="meta")
    idx = torch.zeros(2, 9, dtype=torch.long, device="meta")
    logits, loss = model(idx, idx)
    assert logits.shape == (2, 9, 65)
    assert loss.device.type == "meta"
    with torch.no_grad():
        rows = decoder_for(model).rows()
        assert rows.join(idx[:1]).shape == rows.step(idx[:1, :1]).shape == (1, 65)


def test_what_ships_is_small_enough():
    rung = RUNGS["gpt"]
    model = rung.build(rung.config, device="meta")
    assert model.num_parameters <= 5_000_000
    assert rung.config.block_size == 256


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_embd": 30}, "n_embd must be a multiple of 2 · n_head = 8, not 30"),
        ({"n_kv_head": 3}, r"n_head \(4\) must be a multiple of n_kv_head \(3\)"),
        ({"dropout": 1.5}, "dropout must be a number from 0 to 1"),
        ({"n_layer": 65}, "n_layer must be a whole number from 1 to 64"),
        ({"noise": "much"}, "noise must be a number from 0 to 1"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        GPTConfig(**settings)


def test_the_lone_step_is_the_step():
    """What is compiled, as it stands: round the cache and on."""
    model = make_model()
    decoder = GPTDecoder(model)
    weights = StepWeights.of(model, torch.Tensor.contiguous)
    layers = [(w.qkv, w.proj, w.fc, w.out) for w in weights.layers]
    given = (model.freqs, weights.embedding, layers, weights.lm_head, 15.0)
    rows, other = decoder.rows(), decoder.rows()
    with torch.no_grad():
        rows.join(some_ids(1, 3)), other.join(some_ids(1, 3))
        for k, token in enumerate(some_ids(20).tolist(), 3):
            expected = rows.step(torch.tensor([[token]]))
            cache = (other.cache.keys[:, 0], other.cache.values[:, 0])
            found = lone_step(torch.tensor([token]), torch.tensor([k]), *cache, *given)
            torch.testing.assert_close(found[None], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("texts", [1, 3])
def test_however_the_weights_are_laid_out_a_step_is_the_same(texts):
    model = make_model()
    plain, found = StepWeights.of(model, torch.Tensor.contiguous), []
    for weights in (plain, StepWeights.of(model, packed)):
        cache = KVCache.of(model, texts)
        cache.lengths += [0] * texts
        with torch.no_grad():
            found.append(torch.stack([step_all(model, weights, tokens, cache) for tokens in some_ids(12, texts, 1)]))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
    assert packed(plain.lm_head).is_mkldnn == hasattr(torch.ops.mkldnn, "_linear_pointwise")


def test_a_decoder_has_weights_of_its_own():
    model = make_model()
    weights = StepWeights.of(model, torch.Tensor.contiguous)
    before = [[matrix.clone() for matrix in vars(layer).values()] for layer in weights.layers]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for layer, matrices in zip(weights.layers, before, strict=True):
        assert all(map(torch.equal, vars(layer).values(), matrices))
        assert not any(matrix.requires_grad for matrix in vars(layer).values())


@pytest.mark.skipif(not has_compiler(torch.device("cpu")), reason="there is no C++ compiler")
@pytest.mark.parametrize("exact", [True, False], ids=["weights that bf16 holds", "others"])
def test_warmed_up_it_writes_the_same(exact):
    model = make_model(GPTConfig(11, 8, 16, 1, 2, 1))
    round_to(model, torch.bfloat16 if exact else torch.float32)
    cold, warm = GPTDecoder(model), GPTDecoder(model)
    ids, params = [1, 2, 3], SamplingParams(40, temperature=1.0, seed=3)
    begun = stream(warm, ids, params)
    text = [next(begun) for _ in range(10)]
    warm.warm_up()
    assert warm.compiled is not None and warm.compiled._given[3].dtype == (torch.bfloat16 if exact else torch.float32)
    compiled, calls = warm.compiled, count_calls(warm.compiled)
    assert text + list(begun) == list(stream(cold, ids, params))  # in the midst of a text
    assert len(calls) == 30
    assert list(stream(warm, ids, params)) == list(stream(cold, ids, params))
    warm.warm_up()
    assert warm.compiled is compiled


def test_what_was_compiled_serves_what_it_was_compiled_for_only():
    model = make_model(GPTConfig(11, 8, 16, 1, 2, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda function, **_: function)
        compiled = CompiledStep(model)
    assert compiled.serves(KVCache.of(model, 1))
    assert not compiled.serves(KVCache.of(model, 2))
    strided = KVCache.of(model, 1)
    strided.keys = KVCache.of(model, 2).keys[:, :1]
    assert not compiled.serves(strided)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert not compiled.serves(KVCache.of(model, 1))
    finally:
        torch.set_num_threads(threads)


def test_a_step_that_cannot_be_compiled_stays_as_it_is(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no space left on device")

    decoder = GPTDecoder(make_model())
    monkeypatch.setattr(torch, "compile", fails)
    monkeypatch.setattr("modelcraft.inference.gpt.has_compiler", lambda device: True)
    with pytest.warns(UserWarning, match="could not be compiled, so it stays slower: no space left"):
        decoder.warm_up()
    assert len(list(stream(decoder, [1], SamplingParams(5)))) == 5


def count_calls(compiled) -> list:
    calls, step = [], compiled._step
    compiled._step = lambda *given: (calls.append(given), step(*given))[1]
    return calls


def test_generate_and_stream_agree_within_the_context():
    """Beyond it they differ: `generate` crops and forgets, the cache's layers remember more."""
    model = make_model()
    ids = some_ids(1, 3)
    written = model.generate(ids, 5, generator=torch.Generator().manual_seed(3))[0, 3:].tolist()
    assert written == list(stream(model, ids[0].tolist(), SamplingParams(5, temperature=1.0, seed=3)))
