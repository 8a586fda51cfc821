"""Rung: feedforward."""

import torch
from helpers import ids, numbers, spread

from modelcraft.feedforward import FeedForward, FeedForwardLanguageModel
from modelcraft.multihead import MultiHeadConfig, MultiHeadLanguageModel

SMALL = MultiHeadConfig(vocab_size=9, block_size=6, n_embd=8)


def test_every_position_is_computed_alone_by_two_layers():
    ffwd, x = spread(FeedForward(SMALL)), numbers(2, 6, 8)
    (first, _, second, _) = ffwd.net
    assert first.weight.shape == (32, 8) and second.weight.shape == (8, 32)
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    torch.testing.assert_close(ffwd(x), expected)
    torch.testing.assert_close(ffwd(x[:, 3:4]), ffwd(x)[:, 3:4])


def test_it_computes_with_what_was_gathered():
    model, x = spread(FeedForwardLanguageModel(SMALL)), ids(9, 2, 6)
    read = model.token_embedding_table(x) + model.position_embedding_table.weight  # (B, T, C)
    torch.testing.assert_close(model(x)[0], model.lm_head(model.ffwd(model.sa_heads(read))))


def test_the_parts_have_the_videos_names():
    below = set(MultiHeadLanguageModel(MultiHeadConfig()).state_dict())
    net = {f"ffwd.net.{n}.{name}" for n in (0, 2) for name in ("weight", "bias")}
    assert set(FeedForwardLanguageModel(MultiHeadConfig()).state_dict()) == below | net
