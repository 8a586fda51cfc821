"""Rung: head."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_one_sentence, ids, numbers, spread

from modelcraft.head import HeadConfig, HeadLanguageModel
from modelcraft.model import seeded
from modelcraft.support.errors import ConfigError


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
    with seeded(1337):
        model = HeadLanguageModel(HeadConfig()).eval()
    seen = []
    model.sa_head.dropout.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    model(ids(65, 3, 8))
    (wei,) = seen
    assert wei.shape == (3, 8, 8)
    torch.testing.assert_close(wei.sum(-1), torch.ones(3, 8))
    assert torch.equal(wei, wei.tril())
    assert (wei[:, -1] > 0.02).all() and (wei[:, -1] < 0.5).all()


def test_the_parts_have_the_videos_names():
    found = {name: tuple(tensor.shape) for name, tensor in HeadLanguageModel(HeadConfig()).state_dict().items()}
    assert found == {
        "token_embedding_table.weight": (65, 32),
        "position_embedding_table.weight": (8, 32),
        "lm_head.weight": (65, 32),
        "lm_head.bias": (65,),
        **{f"sa_head.{name}.weight": (32, 32) for name in ("key", "query", "value")},
    }


def test_the_mask_is_no_weight_and_moves_with_the_model():
    model = HeadLanguageModel(HeadConfig())
    assert not [key for key in model.state_dict() if "tril" in key]
    assert all(buffer.is_meta for buffer in model.to("meta").buffers())


def test_sizes_are_checked():
    with pytest.raises(ConfigError) as caught:
        HeadConfig(dropout=1.5)
    assert_one_sentence(caught.value, "dropout")
