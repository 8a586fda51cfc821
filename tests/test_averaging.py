"""Rung: averaging."""

import pytest
import torch
from helpers import ids, numbers, spread

from modelcraft.averaging import (
    AveragingConfig,
    AveragingLanguageModel,
    average_loop,
    average_matrix,
    average_softmax,
)


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


def test_the_model_scores_the_mean():
    model = spread(AveragingLanguageModel(AveragingConfig(vocab_size=9, block_size=4, n_embd=5)))
    x = ids(9, 2, 3)
    read = model.token_embedding_table(x) + model.position_embedding_table.weight[:3]  # (B, T, C)
    expected = model.lm_head(read[:, :3].mean(1))  # (B, V)
    torch.testing.assert_close(model(x)[0][:, -1], expected)


def test_its_parts_are_the_bigram_models():
    assert {
        name: tuple(tensor.shape) for name, tensor in AveragingLanguageModel(AveragingConfig()).state_dict().items()
    } == {
        "token_embedding_table.weight": (65, 32),
        "position_embedding_table.weight": (8, 32),
        "lm_head.weight": (65, 32),
        "lm_head.bias": (65,),
    }
