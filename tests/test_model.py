"""What holds for every rung: the interface of `LanguageModel`."""

import pytest
import torch
from helpers import VOCABULARY, assert_one_sentence

from modelcraft.model import LanguageModel, ModelConfig, evaluating
from modelcraft.support.errors import ConfigError, VocabularyError

V = len(VOCABULARY)


def ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "wrong", [0, -1, 1.0, True, "8", None, 1_000_001, pytest.param(10**5_000, id="huge"), float("nan"), [8]]
)
@pytest.mark.parametrize("name", ["vocab_size", "block_size"])
def test_a_config_is_checked_where_it_is_made(name, wrong):
    with pytest.raises(ConfigError) as caught:
        ModelConfig(**{name: wrong})
    assert_one_sentence(caught.value, f"{name} must be a whole number from 1")
    assert len(str(caught.value)) < 500


def test_a_config_is_frozen():
    with pytest.raises(AttributeError):
        ModelConfig().block_size = 3


def test_forward_scores_every_next_character(language_model):
    x, y = ids(3, 4), ids(3, 4, seed=1)
    logits, loss = language_model(x, y)
    assert logits.shape == (3, 4, V)
    chosen = logits.double().log_softmax(-1).gather(-1, y[..., None])
    assert loss.item() == pytest.approx(-chosen.mean().item(), abs=1e-5)
    again, none = language_model(x)
    assert torch.equal(again, logits)
    assert none is None


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_shorter_context_is_scored_alike(language_model, length):
    x = ids(3, 4)
    torch.testing.assert_close(language_model(x[:, :length])[0], language_model(x)[0][:, :length])


def test_the_future_changes_nothing(language_model):
    x = ids(2, 4)
    before, _ = language_model(x)
    for t in range(4):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        after, _ = language_model(changed)
        assert torch.equal(before[:, :t], after[:, :t])
        assert not torch.equal(before[:, t], after[:, t])


def test_generate_crops_to_the_context(language_model):
    seen = []
    forward = language_model.forward
    language_model.forward = lambda idx, targets=None: (seen.append(idx.clone()), forward(idx, targets))[1]
    x = ids(2, 6)
    text = language_model.generate(x, 5, generator=torch.Generator().manual_seed(0))
    assert text.shape == (2, 11) and torch.equal(text[:, :6], x)
    assert ((text >= 0) & (text < V)).all()
    assert [s.shape[1] for s in seen] == [4] * 5
    for k, context in enumerate(seen):
        assert torch.equal(context, text[:, 2 + k : 6 + k])


def test_greedy_is_the_argmax(language_model):
    x = ids(2, 2)
    expected = x
    for _ in range(9):
        logits, _ = language_model(expected[:, -4:])
        expected = torch.cat((expected, logits[:, -1].argmax(-1, keepdim=True)), dim=1)
    assert torch.equal(language_model.generate(x, 9, temperature=0), expected)
    assert torch.equal(language_model.generate(x, 9, temperature=0.9, top_k=1), expected)
    assert torch.equal(language_model.generate(x, 9, top_p=0), expected)


def test_the_same_seed_writes_the_same_text(language_model):
    first, second, other = (
        language_model.generate(ids(1, 1), 60, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_without_a_generator_torchs_own_one_is_drawn_from(language_model):
    torch.manual_seed(5)
    first = language_model.generate(ids(1, 1), 60)
    assert not torch.equal(language_model.generate(ids(1, 1), 60), first)
    torch.manual_seed(5)
    assert torch.equal(language_model.generate(ids(1, 1), 60), first)


@pytest.mark.parametrize("training", [True, False])
def test_generate_restores_the_mode_and_tracks_no_gradient(language_model, training):
    modes = []
    forward = language_model.forward

    def watched(idx, targets=None):
        modes.append((language_model.training, torch.is_grad_enabled()))
        if len(modes) == 3:
            raise KeyboardInterrupt
        return forward(idx, targets)

    language_model.forward = watched
    language_model.train(training)
    language_model.generate(ids(1, 1), 2)
    assert language_model.training is training
    with pytest.raises(KeyboardInterrupt):
        language_model.generate(ids(1, 1), 1)
    assert language_model.training is training
    assert torch.is_grad_enabled()
    assert modes == [(False, False)] * 3
    assert all(p.grad is None for p in language_model.parameters())


def test_evaluating_restores_submodules_as_they_are_trained(language_model):
    language_model.train()
    with evaluating(language_model):
        assert not any(m.training for m in language_model.modules())
    assert all(m.training for m in language_model.modules())


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "hot"},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_p": 1.1},
        {"top_p": float("nan")},
        {"max_new_tokens": -1},
        {"max_new_tokens": 1.0},
        {"max_new_tokens": True},
    ],
    ids=str,
)
def test_generate_refuses_settings_that_make_no_sense(language_model, wrong):
    with pytest.raises(ConfigError) as caught:
        language_model.generate(ids(1, 1), **{"max_new_tokens": 1, **wrong})
    assert_one_sentence(caught.value, next(iter(wrong)))


@pytest.mark.parametrize(
    ("context", "part"),
    [
        (torch.zeros((1, 0), dtype=torch.long), "empty"),
        (torch.zeros((0, 1), dtype=torch.long), "empty"),
        (torch.tensor([[0, V]]), f"no token {V}"),
        (torch.tensor([[0, 1], [1, -1]]), "no token -1"),
        (torch.tensor([0, 1]), "LongTensor"),
        (torch.zeros((1, 1, 1), dtype=torch.long), "LongTensor"),
        (torch.zeros((1, 1)), "torch.float32"),
        (torch.zeros((1, 1), dtype=torch.int32), "torch.int32"),
        (torch.zeros((1, 1), dtype=torch.bool), "torch.bool"),
    ],
)
def test_generate_refuses_what_is_no_context(language_model, context, part):
    with pytest.raises(VocabularyError) as caught:
        language_model.generate(context, 3)
    assert_one_sentence(caught.value, part)


def test_nothing_to_write_is_the_context_itself(language_model):
    assert torch.equal(language_model.generate(ids(2, 7), 0), ids(2, 7))


def test_the_interface_itself_scores_nothing():
    with pytest.raises(NotImplementedError):
        LanguageModel(ModelConfig())(ids(1, 1))


def test_its_size_is_counted(tiny_model):
    assert tiny_model.num_parameters == V * 5 + 4 * 5 + 5 * V + V
    assert tiny_model.block_size == 4
