"""Rung: residual."""

import pytest
import torch
from helpers import assert_one_sentence, ids, numbers, spread
from torch import nn

from modelcraft.feedforward import FeedForward
from modelcraft.multihead import MultiHeadAttention
from modelcraft.residual import BlockConfig, ResidualBlock, ResidualLanguageModel
from modelcraft.support.errors import ConfigError

SMALL = BlockConfig(vocab_size=9, block_size=6, n_embd=8, n_layer=2)


def test_a_block_adds_to_what_is_there():
    block, x = spread(ResidualBlock(SMALL), std=0.3), numbers(2, 6, 8)
    gathered = x + block.sa(x)
    torch.testing.assert_close(block(x), gathered + block.ffwd(gathered))
    for layer in (block.sa.proj, block.ffwd.net[2]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert torch.equal(block(x), x)  # what adds nothing changes nothing


def test_the_blocks_follow_each_other():
    model, x = spread(ResidualLanguageModel(SMALL), std=0.3), ids(9, 2, 6)
    read = model.token_embedding_table(x) + model.position_embedding_table.weight  # (B, T, C)
    for block in model.blocks:
        read = block(read)
    torch.testing.assert_close(model(x)[0], model.lm_head(read))


def test_the_parts_have_the_videos_names():
    parts = {f"sa.{name}" for name in MultiHeadAttention(SMALL).state_dict()}
    parts |= {f"ffwd.{name}" for name in FeedForward(SMALL).state_dict()}
    assert set(ResidualBlock(SMALL).state_dict()) == parts  # and no norm
    ends = {"token_embedding_table.weight", "position_embedding_table.weight", "lm_head.weight", "lm_head.bias"}
    blocks = {f"blocks.{n}.{name}" for n in range(3) for name in parts}
    assert set(ResidualLanguageModel(BlockConfig()).state_dict()) == ends | blocks


def test_sizes_are_checked():
    for wrong in ({"n_layer": 0}, {"n_layer": 65}, {"n_layer": 2.0}, {"n_head": 3}):
        with pytest.raises(ConfigError) as caught:
            BlockConfig(**wrong)
        assert_one_sentence(caught.value, next(iter(wrong)))
