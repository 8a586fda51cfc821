import dataclasses
import itertools
import math
from collections import Counter, defaultdict

import pytest
import torch
from helpers import CHAIN, assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from modelcraft import counting
from modelcraft.counting import CountingConfig, CountingLanguageModel, PairCounts, count, count_pairs
from modelcraft.data import Corpus
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.stream import stream
from modelcraft.sampling import SamplingParams
from modelcraft.support.errors import CheckpointError, ConfigError, CorpusError, VocabularyError
from modelcraft.tokenizer import CharTokenizer

ALPHABET = "abcd"


class Reference:
    """Interpolated modified Kneser–Ney with dicts and strings: slow, and as the paper has it."""

    def __init__(self, text, order, alphabet):
        self.order, self.alphabet = order, alphabet
        self.counts = {order: Counter(text[i : i + order] for i in range(len(text) - order + 1))}
        for length in range(1, order):
            before = defaultdict(set)
            for i in range(len(text) - length + 1):
                before[text[i : i + length]].add(text[i - 1] if i else "the beginning")
            self.counts[length] = {gram: len(characters) for gram, characters in before.items()}
        self.discounts = {length: self.estimated(counts.values()) for length, counts in self.counts.items()}

    @staticmethod
    def estimated(counts):
        n = Counter(counts)
        discounts = [0.0]  # nothing is taken off a zero
        for seen in (1, 2, 3):
            try:
                discount = seen - (seen + 1) * n[1] / (n[1] + 2 * n[2]) * n[seen + 1] / n[seen]
            except ZeroDivisionError:
                discount = math.nan
            discounts.append(discount if 0 < discount < seen else seen / 2)
        return discounts

    def p(self, character, context):
        context = context[-(self.order - 1) :] if self.order > 1 else ""
        shorter = self.p(character, context[1:]) if context else 1 / len(self.alphabet)
        counts, discounts = self.counts[len(context) + 1], self.discounts[len(context) + 1]
        after = {c: counts.get(context + c, 0) for c in self.alphabet}
        total = sum(after.values())
        if not total:
            return shorter
        left = sum(discounts[min(n, 3)] for n in after.values()) / total
        n = after[character]
        return (n - discounts[min(n, 3)]) / total + left * shorter

    def probabilities(self, text):
        return torch.tensor([[self.p(c, text[: t + 1]) for c in self.alphabet] for t in range(len(text))])


def encoded(text, alphabet=ALPHABET):
    return torch.tensor([alphabet.index(c) for c in text], dtype=torch.long)


def counted(text, order, alphabet=ALPHABET):
    return count(encoded(text, alphabet), CountingConfig(vocab_size=len(alphabet), block_size=order - 1))


def assert_as_reference(text, read, order, alphabet=ALPHABET):
    logits, _ = counted(text, order, alphabet)(encoded(read, alphabet)[None])
    expected = Reference(text, order, alphabet).probabilities(read)
    torch.testing.assert_close(logits[0].exp(), expected, atol=1e-6, rtol=1e-5)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(logits.shape[:2]))


@pytest.fixture
def model():
    """Order 4 over the chain's alphabet: all its contexts of one character were seen, and a third of those of three."""
    return counted(CHAIN.text(500, seed=5), 4, CHAIN.alphabet)


def ids(*shape, seed=0, high=5):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [2, 3, 4, 5, 7])
def test_it_is_kneser_ney(order):
    text = CHAIN.text(1_000, seed=2)
    assert_as_reference(text, text[:50] + CHAIN.text(50, seed=3) + "bbbaacc\n\n\n", order, CHAIN.alphabet)


@given(st.text(ALPHABET, min_size=1, max_size=60), st.text(ALPHABET, min_size=1, max_size=12), st.integers(2, 6))
def test_it_is_kneser_ney_of_any_text(text, read, order):
    assert_as_reference(text, read, order)


@pytest.mark.parametrize("text", ["a", "ab", "aaaaaaaaaaaa", "abababababab", "abcd" * 40])
@pytest.mark.parametrize("order", [2, 5])
def test_tiny_texts(text, order):
    assert_as_reference(text, "aabcddbaab", order)


def test_the_same_by_hand():
    """Pairs of "aaab": aa twice, ab once; "a" was found after the beginning and after a, "b" after a alone.

    Of the counts of pairs, as of those of characters, one is a one and one a two: y = 1 / (1 + 2 · 1), and so
    D1 = 1 − 2 · y · 1/1 = 1/3. D2 = 2 − 3 · y · 0/1 would take all there is: it is 1, half of that.
    """
    logits, _ = counted("aaab", 2)(encoded("a")[None])
    even = 1 / 4
    left = (1 + 1 / 3) / 3  # of pairs after "a", and of characters
    a, b, other = (2 - 1) / 3 + left * even, (1 - 1 / 3) / 3 + left * even, left * even
    after_a = [(2 - 1) / 3 + left * a, (1 - 1 / 3) / 3 + left * b, left * other, left * other]
    torch.testing.assert_close(logits[0, 0].exp(), torch.tensor(after_a))
    after_b, _ = counted("aaab", 2)(encoded("b")[None])  # a context that was never left: what is known without it
    torch.testing.assert_close(after_b[0, 0].exp(), torch.tensor([a, b, other, other]))


def test_a_vocabulary_of_one_is_certain():
    logits, loss = counted("aaaa", 3, "a")(encoded("aaa")[None], encoded("aaa")[None])
    torch.testing.assert_close(logits, torch.zeros((1, 3, 1)), atol=1e-6, rtol=0)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_before_counting_all_characters_are_as_likely():
    model = CountingLanguageModel(CountingConfig(vocab_size=5, entries=7))
    torch.testing.assert_close(model(ids(2, 9))[0], torch.full((2, 9, 5), -math.log(5)))


def test_the_loss_is_the_mean_surprise(model):
    x, y = ids(2, 9), ids(2, 9, seed=1)
    logits, loss = model(x, y)
    assert logits.shape == (2, 9, 5)
    assert loss.item() == pytest.approx(-logits.gather(-1, y[..., None]).mean().item())
    again, none = model(x)
    assert torch.equal(again, logits) and none is None


def test_a_character_matters_to_the_few_after_it_only(model):
    x = ids(1, 12)
    before, _ = model(x)
    for t in range(12):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % 5
        after, _ = model(changed)
        differs = (after != before).any(-1)[0].nonzero().flatten().tolist()
        assert differs and min(differs) == t and max(differs) <= t + 2


def test_it_looks_up_as_much_at_once_as_memory_allows(model, monkeypatch):
    whole, _ = model(ids(3, 7))
    for at_once in (1, 6 * 4 * 5, 1_000):
        monkeypatch.setattr(counting, "LOOKUPS_AT_ONCE", at_once)
        assert torch.equal(model(ids(3, 7))[0], whole)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 11])
def test_steps_equal_the_whole_forward(model, length):
    x = ids(3, length + 8)
    rows = decoder_for(model).rows()
    logits = torch.cat([rows.join(one[None, :length]) for one in x])
    for end in range(length, length + 9):
        whole, _ = model(x[:, :end])  # a forward over everything: only the last three characters matter
        torch.testing.assert_close(logits, whole[:, -1], atol=1e-6, rtol=0)
        if end < length + 8:
            logits = rows.step(x[:, end : end + 1])


def test_it_streams_what_it_generates(model):
    prompt = ids(1, 6)
    written = model.generate(prompt, 40, temperature=0)[0, 6:].tolist()
    assert list(stream(model, prompt[0].tolist(), SamplingParams(max_new_tokens=40, temperature=0))) == written


def test_it_runs_on_meta(model):
    with torch.device("meta"):
        shapes = CountingLanguageModel(model.config)
    x = torch.zeros((2, 9), dtype=torch.long, device="meta")
    logits, loss = shapes(x, x)
    assert logits.is_meta and logits.shape == (2, 9, 5) and loss.is_meta
    rows = decoder_for(shapes).rows()
    assert rows.join(x[:1]).shape == rows.step(x[:1, :1]).shape == (1, 5)
    assert shapes.device == torch.device("meta")
    assert {n: t.shape for n, t in shapes.state_dict().items()} == {n: t.shape for n, t in model.state_dict().items()}
    assert all(buffer.is_meta for buffer in model.to("meta").buffers())


def test_it_is_its_table(model):
    assert {name: tensor.dtype for name, tensor in model.state_dict().items()} == {
        "keys": torch.long,
        "counts": torch.int32,
    }
    assert model.num_parameters == model.config.entries == len(model.keys)
    assert not list(model.parameters())
    again = CountingLanguageModel(model.config)
    again.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(again(ids(2, 9))[0], model(ids(2, 9))[0])


def test_counting_is_exact():
    model = counted("abababc", 3)
    text = {"..a": 1, ".ab": 1, "aba": 2, "bab": 2, "abc": 1}
    keys = {sum(("." + ALPHABET).index(c) * 5 ** (2 - i) for i, c in enumerate(gram)): n for gram, n in text.items()}
    assert dict(zip(model.keys.tolist(), model.counts.tolist(), strict=True)) == keys
    assert model.keys.tolist() == sorted(keys)


@pytest.mark.parametrize(
    "damage",
    [
        lambda keys, counts: (keys.flip(0), counts),
        lambda keys, counts: (keys[[0, 0, *range(2, len(keys))]], counts),
        lambda keys, counts: (keys - keys[0], counts),
        lambda keys, counts: (keys - 2 * keys[-1], counts),
        lambda keys, counts: (keys + 6**4 - keys[-1], counts),
        lambda keys, counts: (keys // 6 * 6, counts),
        lambda keys, counts: (keys, counts * 0),
        lambda keys, counts: (keys, counts - 2),
    ],
    ids=["falling", "twice", "zero", "negative", "too long", "no last character", "never seen", "seen less than never"],
)
def test_a_damaged_table_is_refused(model, damage):
    keys, counts = damage(model.keys.clone(), model.counts.clone())
    with pytest.raises(CheckpointError) as caught:
        CountingLanguageModel(model.config).load_state_dict({"keys": keys, "counts": counts})
    assert_one_sentence(caught.value, "counts of the n-grams are damaged")


@given(st.lists(st.integers(1, 6**4 - 1).filter(lambda key: key % 6), min_size=1, max_size=30, unique=True), st.data())
def test_whatever_a_table_says_the_losses_are_finite(keys, data):
    numbers = st.integers(1, 2**31 - 1)
    counts = data.draw(st.lists(numbers, min_size=len(keys), max_size=len(keys)))
    model = CountingLanguageModel(CountingConfig(vocab_size=5, block_size=3, entries=len(keys)))
    model.load_state_dict({"keys": torch.tensor(sorted(keys)), "counts": torch.tensor(counts)})
    logits, _ = model(ids(2, 9))
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(2, 9))


@pytest.mark.parametrize("vocab_size", [1, 2, 65, 256, 4_000, 1_000_000])
def test_ngrams_that_fit_no_number_are_refused(vocab_size):
    with pytest.raises(ConfigError) as caught:
        CountingConfig(vocab_size=vocab_size, block_size=100)
    assert_one_sentence(caught.value, "block_size must be at most")
    most = int(str(caught.value).partition("at most ")[2].split()[0])
    model = count(torch.full((70,), vocab_size - 1), CountingConfig(vocab_size=vocab_size, block_size=most))
    assert model.keys.max() == (vocab_size + 1) ** (most + 1) - 1  # the very largest key
    if vocab_size <= 256:
        logits, _ = model(torch.full((1, 100), vocab_size - 1))
        assert torch.isfinite(logits).all() and (logits[0].argmax(-1) == vocab_size - 1).all()
    with pytest.raises(ConfigError, match=f"at most {most} "):
        CountingConfig(vocab_size=vocab_size, block_size=most + 1)


def test_what_cannot_be_counted():
    with pytest.raises(CorpusError) as caught:
        counted("", 3)
    assert_one_sentence(caught.value, "nothing to count")
    for wrong in (-1, 4):
        with pytest.raises(VocabularyError, match=f"no token {wrong}"):
            count(torch.tensor([0, wrong, 1]), CountingConfig(vocab_size=4, block_size=2))


def test_the_entries_are_found_not_asked():
    text = encoded(CHAIN.text(200, seed=1), CHAIN.alphabet)
    config = CountingConfig(vocab_size=5, block_size=2, entries=9)
    assert count(text, config).config == dataclasses.replace(config, entries=len({*zip(*shifts(text), strict=True)}))


def shifts(text):
    padded = [-1, -1, *text.tolist()]
    return padded[:-2], padded[1:-1], padded[2:]


@pytest.mark.parametrize(("order", "slack"), [(2, 0.005), (3, 0.005), (7, 0.04)])
def test_a_chains_text_is_predicted_as_well_as_it_can_be(chain, chain_text, order, slack):
    data = encoded(chain_text, chain.alphabet)
    model = count(data[:90_000], CountingConfig(vocab_size=5, block_size=order - 1))
    _, loss = model(data[None, 90_000:-1], data[None, 90_001:])
    assert loss.item() == pytest.approx(chain.entropy, abs=slack)


def test_what_it_writes_is_the_chains_text(chain, chain_text):
    model = count(encoded(chain_text, chain.alphabet), CountingConfig(vocab_size=5, block_size=4))
    written = list(stream(model, [0], SamplingParams(max_new_tokens=2_000, temperature=1, seed=1)))
    surprise = [-math.log(chain.transitions[a][b] or 1e-9) for a, b in itertools.pairwise(written)]
    assert sum(surprise) / len(surprise) == pytest.approx(chain.entropy, abs=0.1)


def test_pairs_are_counted():
    counts = count_pairs(encoded("aababd"), 4)
    assert counts.tolist() == [[1, 2, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    model = PairCounts(counts)
    x, y = encoded("abc")[None], encoded("bac")[None]
    logits, loss = model(x, y)
    expected = torch.tensor([[2, 3, 1, 1], [2, 1, 1, 2], [1, 1, 1, 1]]) / torch.tensor([[7], [6], [4]])
    torch.testing.assert_close(logits[0].exp(), expected)
    assert loss.item() == pytest.approx(-math.log(3 / 7 * 2 / 6 * 1 / 4) / 3)
    assert model.generate(x, 3).shape == (1, 6)


def test_the_losses_of_the_lesson(corpus_text):
    tokenizer = CharTokenizer.of(corpus_text)
    train_data, val_data = Corpus("shakespeare", corpus_text).splits(tokenizer, 8)
    x, y = val_data[None, :-1], val_data[None, 1:]
    _, pairs = PairCounts(count_pairs(train_data, 65))(x, y)
    assert pairs.item() == pytest.approx(2.482, abs=0.001)
    for order, loss in ((3, 2.038), (7, 1.5165)):
        model = count(train_data, CountingConfig(block_size=order - 1))
        assert model(x, y)[1].item() == pytest.approx(loss, abs=0.003)
    assert len(save(model.state_dict())) < 8_000_000
    assert model.num_parameters == len({corpus_text[i : i + 7] for i in range(len(train_data) - 6)}) + 6
