"""Rungs: averaging, head, multihead."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_one_sentence, spread
from rung_checks import (
    assert_first_loss_is_that_of_guessing,
    assert_rows_equal_the_whole_forward,
    assert_runs_in_bf16,
    assert_runs_on_meta,
    assert_sees_the_past_and_only_that,
    ids,
    learn_one_batch,
    make,
)

from modelcraft.bigram import BigramConfig
from modelcraft.head import (
    AveragingLanguageModel,
    HeadConfig,
    HeadLanguageModel,
    MultiHeadAttention,
    MultiHeadConfig,
    MultiHeadLanguageModel,
    average_loop,
    average_matrix,
    average_softmax,
)
from modelcraft.support.errors import ConfigError

RUNGS = {
    "averaging": (AveragingLanguageModel, BigramConfig),
    "head": (HeadLanguageModel, HeadConfig),
    "multihead": (MultiHeadLanguageModel, MultiHeadConfig),
}
every_rung = pytest.mark.parametrize(("model_class", "config_class"), RUNGS.values(), ids=RUNGS)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("average", [average_loop, average_matrix, average_softmax])
def test_each_version_averages_the_past(average):
    x = torch.tensor([[[6.0, 0.0], [2.0, 8.0], [1.0, -2.0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]])
    expected = torch.tensor([[[6.0, 0.0], [4.0, 4.0], [3.0, 2.0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]])
    torch.testing.assert_close(average(x), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 8, 2), (3, 17, 5)])
def test_the_three_versions_are_equal(shape):
    x = numbers(*shape)
    torch.testing.assert_close(average_matrix(x), average_loop(x))
    torch.testing.assert_close(average_softmax(x), average_loop(x))
    torch.testing.assert_close(average_softmax(x.double()), average_loop(x.double()), atol=1e-12, rtol=0)


def test_the_averaging_model_scores_the_mean():
    model = spread(AveragingLanguageModel(BigramConfig(vocab_size=9, block_size=4, n_embd=5)))
    x = ids(9, 2, 3)
    read = model.token_embedding_table(x) + model.position_embedding_table.weight[:3]  # (B, T, C)
    expected = model.lm_head(read[:, :3].mean(1))  # (B, V)
    torch.testing.assert_close(model(x)[0][:, -1], expected)


def test_a_head_is_what_its_formula_says():
    model = spread(HeadLanguageModel(HeadConfig(block_size=6, n_embd=5)))
    head, x = model.sa_head, numbers(2, 6, 5)
    out = head(x)
    for b in range(2):
        for t in range(6):
            scores = [head.query(x[b, t]) @ head.key(x[b, s]) / math.sqrt(5) for s in range(t + 1)]
            weights = torch.stack(scores).softmax(0)
            expected = sum(w * head.value(x[b, s]) for s, w in enumerate(weights))
            torch.testing.assert_close(out[b, t], expected, atol=1e-5, rtol=1e-4)


def test_a_head_is_torchs_own_attention():
    head = spread(HeadLanguageModel(HeadConfig(block_size=7, n_embd=6))).sa_head
    x = numbers(3, 5, 6)
    expected = F.scaled_dot_product_attention(head.query(x), head.key(x), head.value(x), is_causal=True)
    torch.testing.assert_close(head(x), expected)


def test_the_weights_can_be_watched():
    """A hook on `dropout` sees them: whole shares of the past, nearly even ones before any training."""
    model = make(HeadLanguageModel, HeadConfig()).eval()
    seen = []
    model.sa_head.dropout.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    model(ids(65, 3, 8))
    (wei,) = seen
    assert wei.shape == (3, 8, 8)
    torch.testing.assert_close(wei.sum(-1), torch.ones(3, 8))
    assert torch.equal(wei, wei.tril())
    assert (wei[:, -1] > 0.02).all() and (wei[:, -1] < 0.5).all()


def test_heads_stand_side_by_side_and_are_projected():
    attention = spread(MultiHeadAttention(MultiHeadConfig(block_size=6, n_embd=8, n_head=4)))
    x = numbers(2, 6, 8)
    side_by_side = torch.cat([attention.heads[n](x) for n in range(4)], dim=-1)
    assert side_by_side.shape == (2, 6, 8)
    torch.testing.assert_close(attention(x), side_by_side @ attention.proj.weight.T + attention.proj.bias)


def test_the_parts_have_the_videos_names():
    def shapes(model):
        below = {"token_embedding_table.weight", "position_embedding_table.weight", "lm_head.weight", "lm_head.bias"}
        found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        assert below <= set(found)
        return {name: shape for name, shape in found.items() if name not in below}

    assert shapes(AveragingLanguageModel(BigramConfig())) == {}
    assert shapes(HeadLanguageModel(HeadConfig())) == {
        f"sa_head.{name}.weight": (32, 32) for name in ("key", "query", "value")
    }
    assert shapes(MultiHeadLanguageModel(MultiHeadConfig())) == {
        **{f"sa_heads.heads.{n}.{name}.weight": (8, 32) for n in range(4) for name in ("key", "query", "value")},
        "sa_heads.proj.weight": (32, 32),
        "sa_heads.proj.bias": (32,),
    }


def test_sizes_are_checked():
    with pytest.raises(ConfigError) as caught:
        MultiHeadConfig(n_embd=32, n_head=5)
    assert_one_sentence(caught.value, "n_embd must be divisible by n_head", "32", "5")
    for wrong in ({"dropout": 1.5}, {"n_head": 0}, {"n_head": 65, "n_embd": 65}):
        with pytest.raises(ConfigError) as caught:
            MultiHeadConfig(**wrong)
        assert_one_sentence(caught.value, next(iter(wrong)))


@every_rung
@pytest.mark.parametrize("seed", [1, 1337])
def test_the_first_loss_is_that_of_guessing(model_class, config_class, seed):
    assert_first_loss_is_that_of_guessing(make(model_class, config_class(), seed))


@every_rung
def test_the_future_changes_nothing_and_the_past_everything(model_class, config_class):
    assert_sees_the_past_and_only_that(model_class(config_class(vocab_size=9, block_size=6, n_embd=8)))


@every_rung
@pytest.mark.parametrize("length", [1, 2, 3, 6, 7, 20])
def test_rows_equal_the_whole_forward(model_class, config_class, length):
    assert_rows_equal_the_whole_forward(model_class(config_class(vocab_size=9, block_size=6, n_embd=8)), length)


@pytest.mark.parametrize(
    ("name", "steps", "nearly"),
    [
        ("averaging", 600, 0.1),
        ("multihead", 200, 0.01),
        # One head stops short of zero: where two positions come to look at the same character only, they gather the
        # same, and nothing else tells them apart.
        ("head", 300, 0.6),
    ],
)
def test_one_batch_is_learned_by_heart(name, steps, nearly):
    model_class, config_class = RUNGS[name]
    assert learn_one_batch(make(model_class, config_class(n_embd=64)), steps, lr=5e-3) < nearly


@every_rung
def test_it_runs_on_meta(model_class, config_class):
    assert_runs_on_meta(model_class, config_class(vocab_size=9, block_size=6, n_embd=8))


@every_rung
def test_it_runs_in_bf16(model_class, config_class):
    assert_runs_in_bf16(make(model_class, config_class()))


@pytest.mark.parametrize("name", ["head", "multihead"])
def test_dropout_hides_while_training_only(name):
    model_class, config_class = RUNGS[name]
    torch.manual_seed(0)
    model, x = make(model_class, config_class(dropout=0.5)), ids(65, 2, 8)
    assert not torch.equal(model.train()(x)[0], model(x)[0])
    assert torch.equal(model.eval()(x)[0], model(x)[0])
    assert torch.equal(model(x)[0], make(model_class, config_class()).eval()(x)[0])


@pytest.mark.parametrize("name", ["head", "multihead"])
def test_the_mask_is_no_weight_and_moves_with_the_model(name):
    model_class, config_class = RUNGS[name]
    model = model_class(config_class())
    assert not [key for key in model.state_dict() if "tril" in key]
    assert all(buffer.is_meta for buffer in model.to("meta").buffers())
