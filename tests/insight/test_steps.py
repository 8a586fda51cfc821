"""The steps of a character end where the model itself ends, and know nothing of what comes later."""

import itertools
import math

import pytest
import torch
from helpers import spread

from modelcraft.blend import BlendConfig, BlendLanguageModel
from modelcraft.counting import CountingConfig, count
from modelcraft.insight.reading import line_and_source
from modelcraft.insight.steps import ATTENTION, CROSS, EMBEDDING, FEED_FORWARD, MIX, SCORES, trace_steps
from modelcraft.ladder import RUNGS
from modelcraft.support.errors import ConfigError, VocabularyError

SIZES = {"vocab_size": 9, "block_size": 12, "n_embd": 16}
BLOCK = [ATTENTION, FEED_FORWARD]
KINDS = {
    "bigram": [],
    "averaging": ["average"],
    "head": [ATTENTION],
    "multihead": [ATTENTION],
    "feedforward": BLOCK,
    "residual": 3 * BLOCK,
    "block": 3 * BLOCK,
    "gpt": 6 * BLOCK,
    "encoder-decoder": 4 * [ATTENTION, CROSS, FEED_FORWARD],
}
IDS, SOURCE = [1, 2, 3, 4, 5, 6, 7], [8, 7, 6, 5]
TEXT = torch.arange(9).repeat(30)


def small(rung):
    settings = {name: size for name, size in SIZES.items() if name in RUNGS[rung].config.__dataclass_fields__}
    return spread(RUNGS[rung].build(RUNGS[rung].configure(settings))).eval()


@pytest.mark.parametrize("rung", KINDS)
def test_the_steps_are_the_layers_and_end_in_the_models_own_guesses(rung):
    model = small(rung)
    steps = trace_steps(model, IDS, SOURCE)
    assert [step.kind for step in steps] == [EMBEDDING, *KINDS[rung], SCORES]
    more = {"source": torch.tensor([SOURCE])} if rung == "encoder-decoder" else {}
    logits = model(torch.tensor([IDS]), **more)[0][0, -1]
    torch.testing.assert_close(steps[-1].vector, logits)
    for step in steps[-2:]:  # the last layer's x is what the model scores
        torch.testing.assert_close(step.guesses, logits.softmax(-1))
    assert {step.shape for step in steps[:-1]} == {(7, 16)}
    assert steps[-1].shape == (7, 9)
    assert not steps[0].guesses.allclose(steps[-1].guesses) or rung == "bigram"


@pytest.mark.parametrize("rung", ["residual", "block", "gpt", "encoder-decoder"])
def test_what_a_layer_adds_is_the_difference_to_the_step_before(rung):
    steps = trace_steps(small(rung), IDS, SOURCE)
    for before, step in itertools.pairwise(steps[:-1]):
        assert step.adds == pytest.approx(float((step.vector - before.vector).norm() / before.vector.norm()), rel=1e-3)
    assert steps[0].adds is None


def test_an_embedding_knows_the_newest_character_only_and_attention_the_rest():
    model = small("gpt")
    steps, others = trace_steps(model, [1, 2, 3, 4]), trace_steps(model, [5, 6, 7, 4])
    assert steps[0].guesses.equal(others[0].guesses)
    assert not steps[1].guesses.allclose(others[1].guesses)


def test_only_the_context_is_read():
    model = small("block")
    long, short = trace_steps(model, [8, 8, 8, *range(8), 1, 2, 3, 4]), trace_steps(model, [*range(8), 1, 2, 3, 4])
    assert [a.guesses.equal(b.guesses) for a, b in zip(long, short, strict=True)] == [True] * len(long)


def test_a_blend_ends_in_the_mix():
    network = small("gpt")
    counting = count(TEXT, CountingConfig(vocab_size=9, block_size=3))
    model = BlendLanguageModel(BlendConfig(vocab_size=9, block_size=12), network, counting).eval()
    steps = trace_steps(model, IDS)
    assert [step.kind for step in steps[-2:]] == [SCORES, MIX]
    torch.testing.assert_close(steps[-1].guesses, model(torch.tensor([IDS]))[0][0, -1].softmax(-1))
    torch.testing.assert_close(steps[-2].guesses, network(torch.tensor([IDS]))[0][0, -1].softmax(-1))


def test_an_untrained_model_guesses_evenly_all_the_way():
    model = RUNGS["gpt"].build(RUNGS["gpt"].configure(SIZES)).eval()
    for step in trace_steps(model, IDS):
        assert -math.log(float(step.guesses.max())) == pytest.approx(math.log(9), rel=1e-4)
    assert {step.adds for step in trace_steps(model, IDS)} == {None, 0.0}


def test_nothing_to_read_and_nothing_to_see_are_sentences():
    with pytest.raises(VocabularyError):
        trace_steps(small("block"), [])
    with pytest.raises(ConfigError, match="no layers"):
        trace_steps(count(TEXT, CountingConfig(vocab_size=9, block_size=3)), IDS)


def test_a_text_for_an_encoder_is_a_line_and_what_is_left_of_it():
    model = small("encoder-decoder")
    assert line_and_source(small("gpt"), (1, 2)) == ([1, 2], None)
    newline, vowels = model.config.newline, set(model.config.vowels)
    line = [token for token in range(9) if token != newline][:5]
    ids, source = line_and_source(model, [newline, *line, newline, 1])
    assert ids[0] == newline
    assert [token for token in source if token != newline] == [token for token in line if token not in vowels]
