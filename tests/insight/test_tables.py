"""The tables are those of the models: counted pairs are the corpus's, learned ones the forward pass's."""

import pytest
import torch

import modelcraft
from modelcraft.counting import CountingConfig, count, count_pairs
from modelcraft.insight.tables import counted_pairs, embeddings, learned_pairs, plane, position_similarity, similarity
from modelcraft.serving.catalogue import Catalogue


@pytest.mark.parametrize("n", [1, 2, 6])
def test_counted_pairs_are_those_of_the_text(n):
    data = torch.randint(5, (400,), generator=torch.Generator().manual_seed(n))
    model = count(data, CountingConfig(vocab_size=5, block_size=n))
    assert torch.equal(counted_pairs(model), count_pairs(data, 5))


def test_the_bundled_counts_are_those_of_the_training_text(corpus_text):
    model, tokenizer = modelcraft.load("counting", device="cpu")
    train = torch.tensor(tokenizer.encode(corpus_text[: int(0.9 * len(corpus_text))]))
    assert torch.equal(counted_pairs(model), count_pairs(train, 65))


def test_learned_pairs_are_the_models_odds():
    model, tokenizer = modelcraft.load("bigram", device="cpu")
    learned = learned_pairs(model)
    torch.testing.assert_close(learned.sum(-1), torch.ones(65))
    q, u = tokenizer.encode("qu")
    with torch.no_grad():
        alone = torch.stack(
            [model(torch.full((1, t), q))[0][0, -1].softmax(-1) for t in range(1, model.block_size + 1)]
        )
    torch.testing.assert_close(learned[q], alone.mean(0))
    assert int(learned[q].argmax()) == u


def test_a_plane_keeps_distances_of_what_is_flat():
    flat = torch.randn(30, 2, generator=torch.Generator().manual_seed(1)) @ torch.randn(2, 7)
    found = plane(flat)
    between, were = (torch.nn.functional.pdist(points) for points in (found.points, flat))
    torch.testing.assert_close(between, were, atol=1e-3, rtol=1e-3)
    assert sum(found.explained) == pytest.approx(1, abs=1e-4)
    assert found.explained[0] >= found.explained[1]


def test_a_plane_of_vectors_of_one_number():
    assert plane(torch.tensor([[1.0], [2.0], [4.0]])).points.shape == (3, 2)


@pytest.mark.parametrize("rung", Catalogue().names)
def test_every_bundled_rung_has_a_table_or_says_that_it_has_none(rung):
    model, tokenizer = modelcraft.load(rung, device="cpu")
    vectors, places = embeddings(model), position_similarity(model)
    if rung == "counting":
        assert vectors is None
        assert places is None
        return
    assert len(vectors) == tokenizer.vocab_size
    table, _ = places
    assert table.shape == (model.block_size, model.block_size) or rung == "blend"
    torch.testing.assert_close(table.diag(), torch.ones(len(table)))
    assert float(table.abs().max()) <= 1 + 1e-4


def test_rotations_know_the_distance_alone():
    table, by = position_similarity(modelcraft.load("gpt-mini", device="cpu")[0])
    assert by == "rotations"
    torch.testing.assert_close(table[1:, 1:], table[:-1, :-1], atol=1e-4, rtol=1e-4)


def test_similarity_is_a_cosine():
    found = similarity(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, -1], [0, 1, 0], [-1, 0, 1]]))
