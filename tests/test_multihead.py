"""Rung: multihead."""

import pytest
import torch
from helpers import assert_one_sentence, numbers, spread

from modelcraft.multihead import MultiHeadAttention, MultiHeadConfig, MultiHeadLanguageModel
from modelcraft.support.errors import ConfigError


def test_heads_stand_side_by_side_and_are_projected():
    attention = spread(MultiHeadAttention(MultiHeadConfig(block_size=6, n_embd=8, n_head=4)))
    x = numbers(2, 6, 8)
    side_by_side = torch.cat([attention.heads[n](x) for n in range(4)], dim=-1)
    assert side_by_side.shape == (2, 6, 8)
    torch.testing.assert_close(attention(x), side_by_side @ attention.proj.weight.T + attention.proj.bias)


def test_the_parts_have_the_videos_names():
    found = {name: tuple(t.shape) for name, t in MultiHeadLanguageModel(MultiHeadConfig()).state_dict().items()}
    assert {name: shape for name, shape in found.items() if name.startswith("sa_heads")} == {
        **{f"sa_heads.heads.{n}.{name}.weight": (8, 32) for n in range(4) for name in ("key", "query", "value")},
        "sa_heads.proj.weight": (32, 32),
        "sa_heads.proj.bias": (32,),
    }
    assert len(found) == 14 + 4


def test_the_masks_are_no_weights_and_move_with_the_model():
    model = MultiHeadLanguageModel(MultiHeadConfig())
    assert not [key for key in model.state_dict() if "tril" in key]
    assert all(buffer.is_meta for buffer in model.to("meta").buffers())


def test_sizes_are_checked():
    with pytest.raises(ConfigError) as caught:
        MultiHeadConfig(n_embd=32, n_head=5)
    assert_one_sentence(caught.value, "n_embd must be divisible by n_head", "32", "5")
    for wrong in ({"dropout": 1.5}, {"n_head": 0}, {"n_head": 65, "n_embd": 65}):
        with pytest.raises(ConfigError) as caught:
            MultiHeadConfig(**wrong)
        assert_one_sentence(caught.value, next(iter(wrong)))
