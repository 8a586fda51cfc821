"""The rung blend from the command line: its parts, its weights, and where they are looked for."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from helpers import CHAIN, assert_one_sentence

import modelcraft
from modelcraft.blend import BlendLanguageModel
from modelcraft.counting import count
from modelcraft.data import load_corpus
from modelcraft.ladder import RUNGS, Rung
from modelcraft.support.errors import CheckpointError, ConfigError
from modelcraft.train import train
from modelcraft.training.fit import fit_weights
from modelcraft.training.recipes import RECIPES, TrainConfig
from modelcraft.training.run import held_back

SMALL = {"n_embd": 16, "n_layer": 1, "block_size": 12, "n_head": 2, "n_kv_head": 1}
QUICK = TrainConfig(steps=30, batch_size=8, learning_rate=1e-2, eval_interval=30, eval_batches=2, save_interval=30)


def quick(rung: Rung) -> Rung:
    return replace(rung, config=replace(rung.config, **SMALL, dropout=0.0, noise=0.0))


@pytest.fixture
def text(tmp_path, monkeypatch):
    for name in ("gpt", "gpt-mini"):
        monkeypatch.setitem(RUNGS, name, quick(RUNGS[name]))
        monkeypatch.setitem(RECIPES, name, QUICK)
    path = tmp_path / "text.txt"
    path.write_text(CHAIN.text(4_000, seed=1), encoding="utf-8")
    return path


def test_a_blend_of_what_lies_beside_it(text, tmp_path, monkeypatch):
    """The network has another context than the bundled one, and so have the counts."""
    runs = tmp_path / "runs"
    train("counting", str(text), out=runs / "counting", set_=["block_size=3"])
    train("gpt", str(text), out=runs / "gpt")
    train("blend", str(text), out=runs / "blend", set_=["block_size=12"])
    blend, tokenizer = modelcraft.load(runs / "blend")
    network, _ = modelcraft.load(runs / "gpt")
    assert blend.block_size == network.block_size == 12
    assert blend.num_parameters > network.num_parameters
    assert ((blend.w > 0) & (blend.w < 1)).all() and blend.w.unique().numel() > 1
    ids = tokenizer.encode(tokenizer.vocabulary[:2])
    assert len(list(modelcraft.stream(blend, ids, modelcraft.SamplingParams(30, seed=1)))) == 30
    said = {name: modelcraft.store.folder.read_info(runs / name).losses for name in ("blend", "gpt", "counting")}
    sliding = {name: losses["sliding"]["nats_per_character"] for name, losses in said.items()}
    assert sliding["blend"] < min(sliding["gpt"], sliding["counting"]) + 0.02

    other = tmp_path / "other.txt"
    other.write_text(CHAIN.text(4_000, seed=1).upper(), encoding="utf-8")
    train("counting", str(other), out=runs / "counting")
    with pytest.raises(CheckpointError) as caught:
        modelcraft.load(runs / "blend")
    assert_one_sentence(caught.value, "needs a 'counting' that knows the same characters")


def test_what_the_network_held_back_is_where_it_is_weighed(text, tmp_path):
    runs = tmp_path / "runs"
    train("counting", str(text), out=runs / "counting", set_=["block_size=3"])
    train("gpt", str(text), out=runs / "gpt", held_out=0.3)
    train("blend", str(text), out=runs / "blend", set_=["block_size=12"])
    blend, tokenizer = modelcraft.load(runs / "blend", "cpu")
    train_data, _ = load_corpus(str(text)).splits(tokenizer, 12)
    known, held_out = held_back(train_data, 0.3)
    expected = BlendLanguageModel(blend.config, blend.network, count(known, blend.counting.config))
    fit_weights(expected, held_out)
    assert len(held_out) == 1_080
    torch.testing.assert_close(blend.w, expected.w)

    other = tmp_path / "other.txt"
    other.write_text(CHAIN.text(4_000, seed=2), encoding="utf-8")
    train("blend", str(other), out=runs / "other", set_=["block_size=12"])  # of this text it held nothing back
    known, held_out = held_back(load_corpus(str(other)).splits(tokenizer, 12)[0], 0.3)
    as_if = BlendLanguageModel(blend.config, blend.network, count(known, blend.counting.config))
    fit_weights(as_if, held_out)
    assert not torch.allclose(modelcraft.load(runs / "other", "cpu")[0].w, as_if.w)


@pytest.mark.parametrize("name", ["counting", "blend"])
def test_what_is_not_trained_by_gradient_takes_no_steps(text, tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        train(name, str(text), out=tmp_path / name, batch_size=3)
    assert_one_sentence(caught.value, f"{name} is not trained by gradient", "--batch-size")
    assert not (tmp_path / name).exists()


def test_one_of_several_processes_counts(text, tmp_path):
    options = ["--model", "counting", "--corpus", str(text), "--out", str(tmp_path / "counting"), "--device", "cpu"]
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*several, "-m", "modelcraft.train", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Exact validation loss") == 1
