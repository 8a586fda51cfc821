"""Rung: block."""

import torch
from helpers import ids, numbers, spread

from modelcraft.block import Block, BlockLanguageModel
from modelcraft.residual import BlockConfig, ResidualLanguageModel

SMALL = BlockConfig(vocab_size=9, block_size=6, n_embd=8, n_layer=2)


def norm(ln, x):
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    return x * ln.weight + ln.bias


def test_a_block_reads_normed_numbers_and_adds_to_those_that_are_not():
    block, x = spread(Block(SMALL), std=0.3), 5 * numbers(2, 6, 8)
    gathered = x + block.sa(norm(block.ln1, x))
    expected = gathered + block.ffwd(norm(block.ln2, gathered))
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


def test_the_blocks_follow_each_other_and_a_norm_is_last():
    model, x = spread(BlockLanguageModel(SMALL), std=0.3), ids(9, 2, 6)
    read = model.token_embedding_table(x) + model.position_embedding_table.weight  # (B, T, C)
    for block in model.blocks:
        read = block(read)
    torch.testing.assert_close(model(x)[0], model.lm_head(norm(model.ln_f, read)), atol=1e-4, rtol=1e-4)


def test_the_parts_have_the_videos_names():
    below = set(ResidualLanguageModel(BlockConfig()).state_dict())
    norms = {f"blocks.{n}.ln{k}.{name}" for n in range(3) for k in (1, 2) for name in ("weight", "bias")}
    assert set(BlockLanguageModel(BlockConfig()).state_dict()) == below | norms | {"ln_f.weight", "ln_f.bias"}
