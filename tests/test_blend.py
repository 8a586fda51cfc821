import copy
import math

import pytest
import torch
from helpers import CHAIN, PrefixModel, assert_one_sentence, spread

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.blend import BlendConfig, BlendLanguageModel
from modelcraft.counting import CountingConfig, count
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.stream import stream
from modelcraft.loss import exact_loss
from modelcraft.model import ModelConfig, evaluating
from modelcraft.ngrams import NGramTable
from modelcraft.sampling import SamplingParams
from modelcraft.support.errors import CheckpointError, ConfigError, CorpusError
from modelcraft.training.fit import fit_weights

V = len(CHAIN.alphabet)
T = 8


def encoded(text):
    return torch.tensor([CHAIN.alphabet.index(c) for c in text])


def knowing_network():
    """A bigram model that knows the chain: its logits are the logarithms of the chain's own transitions."""
    model = BigramLanguageModel(BigramConfig(vocab_size=V, block_size=T, n_embd=V))
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(torch.eye(V))
        model.position_embedding_table.weight.zero_()
        model.lm_head.weight.copy_(torch.tensor(CHAIN.transitions).clamp(min=1e-4).log().T)
    return model.eval()


def counted(text, order=3):
    return count(encoded(text), CountingConfig(vocab_size=V, block_size=order - 1))


def blended(network, counting, **settings):
    return BlendLanguageModel(BlendConfig(vocab_size=V, block_size=T, **settings), network, counting)


def ids(*shape, seed=0):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["prefix", "gpt"])
def blend(request):
    """A network that reads its whole context and counts of few characters; every level has another weight."""
    network = spread(PrefixModel(ModelConfig(vocab_size=V, block_size=T))).eval()
    if request.param == "gpt":  # which remembers in a ring, and reads more than its context at once
        network = spread(GPTLanguageModel(GPTConfig(vocab_size=V, block_size=T, n_embd=16, n_layer=2))).eval()
    model = blended(network, counted(CHAIN.text(300, seed=5), 5)).eval()
    model.load_state_dict({"w": torch.linspace(0, 1, 10)})
    return model


def test_it_mixes_probabilities(blend):
    x, y = ids(3, T), ids(3, T, seed=1)
    logits, loss = blend(x, y)
    learned, counts = blend.network(x)[0].softmax(-1), blend.counting(x)[0].exp()
    levels = blend.level_of(x)
    assert len(levels.unique()) > 3  # so that a level taken from the wrong place shows
    w = torch.linspace(0, 1, 10)[levels][..., None]
    torch.testing.assert_close(logits.exp(), w * learned + (1 - w) * counts)
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(3, T))
    assert loss.item() == pytest.approx(-logits.gather(-1, y[..., None]).mean().item())
    again, none = blend(x)
    assert torch.equal(again, logits) and none is None


def test_a_weight_of_0_or_1_is_one_of_the_two(blend):
    x = ids(2, T)
    blend.load_state_dict({"w": torch.zeros(10)})
    torch.testing.assert_close(blend(x)[0], blend.counting(x)[0])
    blend.load_state_dict({"w": torch.ones(10)})
    torch.testing.assert_close(blend(x)[0], blend.network(x)[0].log_softmax(-1))


def test_the_level_is_what_the_longest_known_context_leaves_to_shorter_ones():
    """In "ababab..." each of ab and ba was seen 50 times or 49; nothing ever followed a c, and it is last of all."""
    model = blended(knowing_network(), counted("ab" * 50 + "c", 3), levels=4)
    counting, look = model.counting, encoded("abc\n")[None]
    doubt = counting.table.doubt(counting.table.contexts(look))[0]
    # Orders 1 and 2 hold numbers of predecessors, order 3 how often: aba 49 times, bab 49 times, abc once.
    _, gamma = counting.table.look_up(counting.table.contexts(look)[0])
    assert doubt.tolist() == [gamma[0, 1], gamma[1, 2], gamma[2, 0], gamma[3, 0]]
    assert gamma[2, 1:].tolist() == [1, 1]  # never seen
    assert doubt[1] < 0.1 and 0.25 < doubt[2] < 1
    assert model.level_of(look)[0].tolist() == (doubt * 4).long().tolist()


def test_what_was_never_counted_is_doubted_most():
    counting = counted("ab", 3)
    counting.table.ngrams, counting.table.shares = (
        counting.table.ngrams[-1:],
        counting.table.shares[-1:],
    )  # the end mark alone
    model = blended(knowing_network(), counting)
    assert counting.table.doubt(counting.table.contexts(ids(2, 3))).tolist() == [[1.0] * 3] * 2
    assert model.level_of(ids(2, 3)).tolist() == [[9] * 3] * 2


def test_the_future_changes_nothing(blend):
    x = ids(2, T)
    before, _ = blend(x)
    for t in range(T):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        after, _ = blend(changed)
        torch.testing.assert_close(before[:, :t], after[:, :t], atol=1e-6, rtol=0)
        assert not torch.equal(before[:, t], after[:, t])


@pytest.mark.parametrize("length", [1, 3, T])
def test_steps_equal_the_whole_forward(blend, length):
    x = ids(3, length + T)
    rows = decoder_for(blend).rows()
    with torch.no_grad():
        logits = torch.cat([rows.join(one[None, :length]) for one in x])
        for end in range(length, length + T + 1):
            # What can be read at once is read at once: through its layers a ring knows of more than its context.
            whole, _ = blend(x[:, max(0, end - blend.max_length) : end])
            torch.testing.assert_close(logits, whole[:, -1], atol=1e-5, rtol=0)
            if end < length + T:
                logits = rows.step(x[:, end : end + 1])


def test_it_streams_what_it_generates(blend):
    prompt = ids(1, 3)
    written = blend.generate(prompt, 30, temperature=0)[0, 3:].tolist()
    assert list(stream(blend, prompt[0].tolist(), SamplingParams(max_new_tokens=30, temperature=0))) == written


def test_the_weights_are_all_that_it_has_of_its_own(blend):
    assert {name: tuple(t.shape) for name, t in blend.state_dict().items()} == {"w": (10,)}
    assert blend.num_parameters == 10 + blend.network.num_parameters + blend.counting.num_parameters
    again = blended(blend.network, blend.counting)
    again.load_state_dict(blend.state_dict())
    assert torch.equal(again(ids(2, T))[0], blend(ids(2, T))[0])


def test_what_is_loaded_leaves_the_parts_alone(blend, monkeypatch):
    """Their names are not missed, their tables not made anew; what is not theirs is still missed."""
    monkeypatch.setattr(NGramTable, "fill", lambda *_: pytest.fail("the table was made anew"))
    assert blend.load_state_dict(blend.state_dict()) == ([], [])
    with pytest.raises(RuntimeError, match=r'Missing key.*"w"'):
        blend.load_state_dict({})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*extra"):
        blend.load_state_dict({**blend.state_dict(), "extra": blend.w})
    again = copy.deepcopy(blend)
    assert set(again.state_dict()) == {"w"} and torch.equal(again(ids(2, T))[0], blend(ids(2, T))[0])


def test_its_parts_go_with_it(blend):
    blend.train()
    assert blend.network.training and blend.counting.training
    with evaluating(blend):
        assert not blend.network.training and not blend.counting.training
    blend.to("meta")
    assert all(
        t.is_meta for part in (blend, blend.network, blend.counting) for t in (*part.parameters(), *part.buffers())
    )


def test_it_runs_on_meta(blend):
    blend.to("meta")
    x = torch.zeros((2, T), dtype=torch.long, device="meta")
    logits, loss = blend(x, x)
    assert logits.is_meta and logits.shape == (2, T, V) and loss.is_meta
    with torch.no_grad():
        rows = decoder_for(blend).rows()
        assert rows.join(x[:1, :3]).shape == rows.step(x[:1, :1]).shape == (1, V)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_weights_that_are_no_shares_are_refused(blend, wrong):
    with pytest.raises(CheckpointError) as caught:
        blend.load_state_dict({"w": torch.tensor([0.5] * 9 + [wrong])})
    assert_one_sentence(caught.value, "not from 0 to 1")


def test_parts_that_do_not_fit_are_refused(blend):
    for config, part in (
        (BlendConfig(vocab_size=V + 1, block_size=T), "one vocabulary"),
        (BlendConfig(vocab_size=V, block_size=T + 1), "block_size of a blend is its network's: 8, not 9"),
    ):
        with pytest.raises(ConfigError) as caught:
            BlendLanguageModel(config, blend.network, blend.counting)
        assert_one_sentence(caught.value, part)


def test_the_fit_finds_who_knows():
    """The network knows the chain; the counts have seen only other text: all weight goes to the network, or none."""
    held_out = encoded(CHAIN.text(4_000, seed=8))
    knowing = knowing_network()
    for network, counting, expected in (
        (knowing, counted("abc\n " * 100), 1.0),
        (
            spread(BigramLanguageModel(BigramConfig(vocab_size=V, block_size=T)), std=2),
            counted(CHAIN.text(9_000, 1)),
            0.0,
        ),
    ):
        model = blended(network, counting, levels=1)
        loss = fit_weights(model, held_out)
        assert model.w.item() == pytest.approx(expected, abs=0.03)
        assert loss == pytest.approx(CHAIN.entropy, abs=0.05)


@pytest.fixture
def halves():
    """A blend of two that know different things, a text to fit it on, and another: windows and what follows in them.

    The network knows the chain, but has no idea of what follows a "b"; the counts know of everything a little.
    """
    network, text = knowing_network(), encoded(CHAIN.text(10_001, seed=4))
    with torch.no_grad():
        network.lm_head.weight[:, CHAIN.alphabet.index("b")] = 0
    model = blended(network, count(text[:400], CountingConfig(vocab_size=V, block_size=2)), levels=3)
    return model, text[6_000:], text[2_000:6_000].view(-1, T), text[2_001:6_001].view(-1, T)


def test_the_fit_is_the_best_there_is(halves):
    """Against a search: no weight of any level can be changed to the better."""
    model, held_out, *_ = halves

    def loss():
        return exact_loss(model, held_out).nats_per_character

    fitted = fit_weights(model, held_out)
    assert fitted == pytest.approx(loss(), abs=1e-5)
    w = model.w.clone()
    assert len(w.unique()) == 3 and bool(((w > 0.1) & (w < 0.99)).all())
    for level in range(3):
        for other in torch.linspace(0, 1, 11):
            model.w.copy_(w)
            model.w[level] = other
            assert loss() >= fitted - 1.5e-4  # what keeps w off 0 and 1 costs no more


def test_a_blend_is_better_than_either_on_new_text(halves):
    model, held_out, x, y = halves
    fit_weights(model, held_out)
    with torch.no_grad():
        alone = [
            -part(x)[0].log_softmax(-1).gather(-1, y[..., None]).mean().item()
            for part in (model.network, model.counting)
        ]
        assert model(x, y)[1].item() < min(alone) - 0.02


def test_the_fit_is_measured_as_the_loss_is():
    """With the whole context before each character, where there is one: so are the losses that are published."""
    text = encoded(CHAIN.text(400, seed=2))
    model = blended(knowing_network(), counted(CHAIN.text(400, seed=1), 5))
    assert fit_weights(model, text) == pytest.approx(exact_loss(model, text, "sliding").nats_per_character, abs=1e-5)


def test_a_level_that_never_occurs_stays_between_the_two():
    model = blended(knowing_network(), counted(CHAIN.text(5_000, seed=1)))
    fit_weights(model, encoded(CHAIN.text(500, seed=2)))
    occurring = model.level_of(encoded(CHAIN.text(500, seed=2))[None]).unique()
    absent = [level for level in range(10) if level not in occurring]
    assert absent and all(model.w[level].item() == pytest.approx(0.5, abs=1e-5) for level in absent)
    assert bool(((model.w > 0) & (model.w < 1)).all())


def test_a_fit_needs_a_text(blend):
    with pytest.raises(CorpusError) as caught:
        fit_weights(blend, torch.tensor([1]))
    assert_one_sentence(caught.value, "at least two characters")
    assert fit_weights(blend, torch.tensor([1, 2])) > 0
