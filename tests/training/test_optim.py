"""Which optimizer moves what, and how the average of the weights runs."""

import shutil

import pytest
import torch

from modelcraft.ladder import RUNGS
from modelcraft.training.optim import compile_parts, ema, make_optimizers, set_share
from modelcraft.training.recipes import TrainConfig


def parts(optimizers, model):
    names = {id(p): name for name, p in model.named_parameters()}
    return [[{names[id(p)] for p in group["params"]} for group in optimizer.param_groups] for optimizer in optimizers]


def make(name="gpt", **recipe):
    model = RUNGS[name].build(RUNGS[name].config)
    return model, make_optimizers(model, TrainConfig(learning_rate=3e-3, weight_decay=0.1, **recipe))


def test_every_parameter_is_moved_by_exactly_one():
    for name, recipe in (("gpt", {"muon_learning_rate": 0.02}), ("gpt", {}), ("bigram", {"muon_learning_rate": 0.02})):
        model, optimizers = make(name, **recipe)
        moved = [p for optimizer in parts(optimizers, model) for group in optimizer for p in group]
        assert sorted(moved) == sorted(name for name, _ in model.named_parameters())


def test_muon_moves_the_matrices_between_the_table_and_the_head():
    model, (adamw, muon) = make(muon_learning_rate=0.02)
    (adamw_tables, adamw_vectors), (matrices,) = parts((adamw, muon), model)
    assert adamw_tables == {"token_embedding_table.weight", "lm_head.weight"}
    assert adamw_vectors == set()
    assert "blocks.0.sa.query.weight" in matrices
    assert len(matrices) == 6 * 6
    assert isinstance(muon, torch.optim.Muon)


def test_vectors_do_not_decay():
    model, (adamw,) = make("bigram")
    tables, vectors = adamw.param_groups
    assert tables["weight_decay"] == 0.1
    assert vectors["weight_decay"] == 0
    assert parts([adamw], model)[0][1] == {"lm_head.bias"}


def test_all_rates_follow_one_schedule():
    _, optimizers = make(muon_learning_rate=0.02)
    set_share(optimizers, 0.25)
    assert [group["lr"] for optimizer in optimizers for group in optimizer.param_groups] == [
        pytest.approx(7.5e-4),
        pytest.approx(7.5e-4),
        pytest.approx(5e-3),
    ]


def test_the_average_starts_short_and_ends_long():
    averaged, ones = [torch.zeros(2)], [torch.ones(2)]
    ema(averaged, ones, decay=0.99, step=0)
    torch.testing.assert_close(averaged[0], torch.full((2,), 0.9))
    averaged = [torch.zeros(2)]
    ema(averaged, ones, decay=0.99, step=10_000)
    torch.testing.assert_close(averaged[0], torch.full((2,), 0.01))


def test_without_a_compiler_the_training_says_so(monkeypatch):
    model, _ = make()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.warns(UserWarning, match="no compiler for C"):
        compile_parts(model, pytest.fail)
    assert all(block._compiled_call_impl is None for block in model.blocks)


def test_a_model_without_repeated_parts_is_left_alone():
    model, _ = make("bigram")
    compile_parts(model, pytest.fail)
    assert model._compiled_call_impl is None
