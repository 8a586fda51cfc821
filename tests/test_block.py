"""Rungs: feedforward, residual, block."""

import pytest
import torch
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

from modelcraft.block import (
    Block,
    BlockConfig,
    BlockLanguageModel,
    FeedForward,
    FeedForwardLanguageModel,
    ResidualBlock,
    ResidualLanguageModel,
)
from modelcraft.head import MultiHeadConfig
from modelcraft.support.errors import ConfigError

RUNGS = {
    "feedforward": (FeedForwardLanguageModel, MultiHeadConfig),
    "residual": (ResidualLanguageModel, BlockConfig),
    "block": (BlockLanguageModel, BlockConfig),
}
every_rung = pytest.mark.parametrize(("model_class", "config_class"), RUNGS.values(), ids=RUNGS)
SMALL = BlockConfig(vocab_size=9, block_size=6, n_embd=8, n_layer=2)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def names(module) -> set[str]:
    return set(module.state_dict())


def test_every_position_is_thought_about_alone_by_two_layers():
    ffwd, x = spread(FeedForward(SMALL)), numbers(2, 6, 8)
    (first, _, second, _) = ffwd.net
    assert first.weight.shape == (32, 8) and second.weight.shape == (8, 32)
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    torch.testing.assert_close(ffwd(x), expected)
    torch.testing.assert_close(ffwd(x[:, 3:4]), ffwd(x)[:, 3:4])


def test_feedforward_thinks_about_what_was_gathered():
    model, x = spread(FeedForwardLanguageModel(SMALL)), numbers(2, 6, 8)
    torch.testing.assert_close(model.body(x), model.ffwd(model.sa_heads(x)))


def test_residual_adds_to_what_is_there():
    model, x = spread(ResidualLanguageModel(SMALL), std=0.3), numbers(2, 6, 8)
    expected = x
    for block in model.blocks:
        gathered = expected + block.sa(expected)
        expected = gathered + block.ffwd(gathered)
    torch.testing.assert_close(model.body(x), expected)
    torch.nn.init.zeros_(model.blocks[0].sa.proj.weight)
    torch.nn.init.zeros_(model.blocks[0].sa.proj.bias)
    for layer in (model.blocks[0].ffwd.net[2].weight, model.blocks[0].ffwd.net[2].bias):
        torch.nn.init.zeros_(layer)
    assert torch.equal(model.blocks[0](x), x)  # what adds nothing changes nothing


def test_a_block_reads_normed_numbers_and_adds_to_those_that_are_not():
    model, x = spread(BlockLanguageModel(SMALL), std=0.3), 5 * numbers(2, 6, 8)

    def norm(ln, x):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * ln.weight + ln.bias

    expected = x
    for block in model.blocks:
        gathered = expected + block.sa(norm(block.ln1, expected))
        expected = gathered + block.ffwd(norm(block.ln2, gathered))
    torch.testing.assert_close(model.body(x), norm(model.ln_f, expected), atol=1e-4, rtol=1e-4)


def test_the_parts_have_the_videos_names():
    below = {"token_embedding_table.weight", "position_embedding_table.weight", "lm_head.weight", "lm_head.bias"}
    heads = {f"heads.{n}.{name}.weight" for n in range(4) for name in ("key", "query", "value")}
    heads |= {"proj.weight", "proj.bias"}
    net = {f"ffwd.net.{n}.{name}" for n in (0, 2) for name in ("weight", "bias")}
    blocks = {f"blocks.{n}.{name}" for n in range(3) for name in {f"sa.{name}" for name in heads} | net}
    norms = {f"blocks.{n}.ln{k}.{name}" for n in range(3) for k in (1, 2) for name in ("weight", "bias")}
    assert names(FeedForwardLanguageModel(MultiHeadConfig())) == below | {f"sa_heads.{name}" for name in heads} | net
    assert names(ResidualLanguageModel(BlockConfig())) == below | blocks
    assert names(BlockLanguageModel(BlockConfig())) == below | blocks | norms | {"ln_f.weight", "ln_f.bias"}


def test_sizes_are_checked():
    for wrong in ({"n_layer": 0}, {"n_layer": 65}, {"n_layer": 2.0}, {"n_head": 3}):
        with pytest.raises(ConfigError) as caught:
            BlockConfig(**wrong)
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


@every_rung
def test_one_batch_is_learned_by_heart(model_class, config_class):
    assert learn_one_batch(make(model_class, config_class(n_embd=64)), steps=150, lr=3e-3) < 0.05


@every_rung
def test_it_runs_on_meta(model_class, config_class):
    assert_runs_on_meta(model_class, config_class(vocab_size=9, block_size=6, n_embd=8))


@every_rung
def test_it_runs_in_bf16(model_class, config_class):
    assert_runs_in_bf16(make(model_class, config_class()))


@every_rung
def test_dropout_hides_while_training_only(model_class, config_class):
    torch.manual_seed(0)
    model, x = make(model_class, config_class(dropout=0.5)), ids(65, 2, 8)
    assert not torch.equal(model.train()(x)[0], model(x)[0])
    assert torch.equal(model.eval()(x)[0], make(model_class, config_class()).eval()(x)[0])


def test_another_kind_of_block_can_take_its_place():
    """What an ablation needs: a subclass that says which block."""

    class Forgetful(Block):
        def forward(self, x):
            return self.ffwd(self.ln2(self.sa(self.ln1(x))))

    class ForgetfulLanguageModel(BlockLanguageModel):
        block = Forgetful

    with_it, without = make(BlockLanguageModel, SMALL), make(ForgetfulLanguageModel, SMALL)
    assert names(with_it) == names(without)
    x = ids(9, 2, 6)
    assert not torch.allclose(with_it(x)[0], without(x)[0])
    assert_rows_equal_the_whole_forward(without, 4)


def test_a_residual_block_has_no_norms():
    assert not [name for name in names(ResidualBlock(SMALL)) if ".ln" in name or name.startswith("ln")]
