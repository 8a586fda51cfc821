import math

import pytest
import torch
from helpers import VOCABULARY, assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st

import modelcraft
from modelcraft.inference.stream import SamplingParams, stream
from modelcraft.support.errors import VocabularyError

V = len(VOCABULARY)


@pytest.mark.parametrize("prompt", [[3], [1, 2, 3], [1, 2, 3, 4], [8, 7, 6, 5, 4, 3, 2]], ids=len)
@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.0}, {"temperature": 1.3, "top_k": 4}, {"temperature": 1.0, "top_p": 0.7}],
    ids=str,
)
def test_a_stream_is_what_generate_writes(language_model, prompt, settings):
    params = SamplingParams(max_new_tokens=20, seed=11, **settings)
    written = language_model.generate(
        torch.tensor([prompt]),
        20,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        generator=torch.Generator().manual_seed(11),
    )
    assert list(stream(language_model, prompt, params)) == written[0, len(prompt) :].tolist()


def test_each_token_is_given_as_soon_as_it_is_made(language_model):
    steps = []
    forward = language_model.forward
    language_model.forward = lambda idx, targets=None: (steps.append(idx.shape[1]), forward(idx, targets))[1]
    tokens = stream(language_model, [1, 2, 3], SamplingParams(max_new_tokens=5, seed=1))
    assert steps == []
    first = next(tokens)
    assert isinstance(first, int) and 0 <= first < V
    assert steps == [3]
    next(tokens)
    assert steps == [3, 4]
    assert len(list(tokens)) == 3
    assert steps == [3, 4, 4, 4, 4]  # never more than the context


def test_a_prompt_longer_than_the_context_is_read_from_its_end(language_model):
    params = SamplingParams(max_new_tokens=20, seed=1)
    assert list(stream(language_model, [5, 5, 5, 1, 2, 3, 4], params)) == list(
        stream(language_model, [1, 2, 3, 4], params)
    )


def test_seeds(language_model):
    def write(seed):
        return list(stream(language_model, [1], SamplingParams(max_new_tokens=60, temperature=1.0, seed=seed)))

    assert write(1) == write(1)
    assert write(1) != write(2)
    assert write(None) != write(None)


@pytest.mark.parametrize(
    ("ids", "part"),
    [
        ([], "empty"),
        ([V], f"no token {V}"),
        ([0, -1], "no token -1"),
        ([10**30], "1000000000000000000000000000000"),
        ([0.7], "0.7"),
        ("ab", "'a'"),
        ([None], "None"),
        ([[1]], "[1]"),
        ([10**5_000], "no token"),
    ],
    ids=["empty", "too high", "negative", "large", "fraction", "text", "none", "nested", "huge"],
)
def test_a_prompt_is_checked_at_the_call(language_model, ids, part):
    with pytest.raises(VocabularyError) as caught:
        stream(language_model, ids, SamplingParams())
    assert_one_sentence(caught.value, part)


def test_nothing_to_write(language_model):
    assert list(stream(language_model, [1], SamplingParams(max_new_tokens=0))) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_between_tokens(language_model, training):
    modes = []
    language_model.register_forward_pre_hook(
        lambda *_: modes.append((language_model.training, torch.is_grad_enabled()))
    )
    language_model.train(training)
    tokens = stream(language_model, [1], SamplingParams(max_new_tokens=3, seed=1))
    for _ in range(2):
        next(tokens)
        assert language_model.training is training
        assert torch.is_grad_enabled()
    tokens.close()
    assert language_model.training is training
    assert modes == [(False, False)] * 2


def test_two_streams_of_one_model_do_not_meddle(language_model):
    params = SamplingParams(max_new_tokens=15, temperature=1.0, seed=4)
    alone = [list(stream(language_model, prompt, params)) for prompt in ([1, 2], [7])]
    together = zip(stream(language_model, [1, 2], params), stream(language_model, [7], params), strict=True)
    assert [list(tokens) for tokens in zip(*together, strict=True)] == alone


@given(st.lists(st.integers(0, 64), min_size=1, max_size=20), st.integers(0, 2**63 - 1))
def test_the_bundled_model_streams_its_own_vocabulary(ids, seed):
    model, tokenizer = modelcraft.load("bigram", device="cpu")
    tokens = list(stream(model, ids, SamplingParams(max_new_tokens=12, seed=seed)))
    assert len(tokenizer.decode(tokens)) == 12


def test_the_promise_of_the_first_page():
    """What the README and the package's docstring show."""
    model, tokenizer = modelcraft.load("bigram")
    params = modelcraft.SamplingParams(max_new_tokens=2_000, temperature=1.0, seed=1)
    text = "".join(tokenizer.decode([t]) for t in modelcraft.stream(model, tokenizer.encode("ROMEO:"), params))
    assert len(text) == 2_000
    # A text of Shakespeare's characters, not of one character or of noise: English has about 18 % spaces, 9 % e.
    assert text.count(" ") / 2_000 == pytest.approx(0.15, abs=0.04)
    assert text.count("e") / 2_000 == pytest.approx(0.085, abs=0.03)
    often = {c: text.count(c) / 2_000 for c in set(text)}
    assert -sum(p * math.log(p) for p in often.values()) > 2.9
